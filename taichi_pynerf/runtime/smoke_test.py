"""A first computation on a backend, which catches drivers that compute wrongly."""

import taichi as ti
import torch
from torch.nn.functional import grid_sample

from taichi_pynerf.kernels.hash_grid import PRIMES, HashGridSpec, hash_grid_kernels


def smoke_test(device: torch.device, atomic: bool, tolerance: float = 1e-4) -> str | None:
    """Encode a few points and propagate a gradient; returns the fault in words, or None.

    The reference is torch's trilinear `grid_sample`. One level is indexed densely, the other is
    hashed.

    Args:
        device: device of the tensors that the kernels are given.
        atomic: try the kernels for many threads, which add atomically, not those for few.
        tolerance: largest error allowed, relative to the largest element.
    """
    spec = HashGridSpec(resolutions=(3, 7), features_per_level=2, hash_table_size=128)
    kernels = hash_grid_kernels(spec, ti.f32)
    generator = torch.Generator().manual_seed(0)
    positions = torch.rand(64, 3, generator=generator)
    table = torch.randn(spec.num_entries, 2, generator=generator)
    cotangents = torch.randn(64, 2, 2, generator=generator)

    leaf = table.clone().requires_grad_()
    expected = torch.stack(
        [_grid_sample(positions, leaf, spec, level) for level in range(spec.num_levels)], 1
    )
    (expected_grad,) = torch.autograd.grad(expected, leaf, cotangents)

    levels = torch.tensor(spec.level_table, dtype=torch.int32, device=device)
    level_begin = torch.zeros(spec.num_levels, dtype=torch.int32, device=device)
    positions, table, cotangents = (x.to(device) for x in (positions, table, cotangents))
    features, grad = torch.zeros_like(cotangents), torch.zeros_like(table)
    encode = kernels.encode if atomic else kernels.encode_blocks
    encode(positions, table, levels, level_begin, features)
    if atomic:
        kernels.encode_adjoint_table_atomic(positions, cotangents, levels, level_begin, grad)
    else:
        marks = torch.zeros(-(-spec.num_entries // 8), dtype=torch.uint8)
        kernels.encode_adjoint_table(positions, cotangents, levels, level_begin, grad, marks)
    for what, actual, right in (
        ("an encoding", features, expected.detach()),
        ("the gradient of an encoding", grad, expected_grad),
    ):
        error = float((actual.cpu() - right).abs().max() / right.abs().max())
        if not error <= tolerance:  # NaN is wrong too
            return f"{what} is wrong by {error:.2g} of its largest value"
    return None


def _grid_sample(
    positions: torch.Tensor, table: torch.Tensor, spec: HashGridSpec, level: int
) -> torch.Tensor:
    """Features [M, F] of one level by torch, from the level's table spread out to a dense grid."""
    side, offset = spec.resolutions[level] + 1, spec.level_offsets[level]
    k, j, i = torch.meshgrid(*[torch.arange(side)] * 3, indexing="ij")
    if spec.dense(level):
        index = i + side * (j + side * k)
    else:
        index = (i ^ j * PRIMES[1] ^ k * PRIMES[2]) & (spec.hash_table_size - 1)
    volume = table[offset + index].permute(3, 0, 1, 2)
    places = (2 * positions - 1).view(1, -1, 1, 1, 3)
    sampled = grid_sample(volume[None], places, align_corners=True)
    return sampled.view(spec.features_per_level, -1).T
