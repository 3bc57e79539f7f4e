"""Hash-grid encoding, differentiable in the table and in the positions."""

import functools
from typing import Any

import torch

from taichi_pynerf import runtime
from taichi_pynerf.kernels.hash_grid import HashGridSpec, hash_grid_kernels
from taichi_pynerf.ops.bridge import (
    autodiff_leaf,
    check_dtype,
    check_shape,
    once_differentiable,
    taichi_dtype,
)
from taichi_pynerf.ops.residence import device_memory
from taichi_pynerf.ops.touched_rows import marks_of

__all__ = ["HashGridSpec", "hash_encode"]


def hash_encode(
    positions: torch.Tensor,
    table: torch.Tensor,
    spec: HashGridSpec,
    level_begin: torch.Tensor | None = None,
    use_autodiff: bool = False,
    accumulate_into: torch.Tensor | None = None,
    known_features: torch.Tensor | None = None,
) -> torch.Tensor:
    """Look positions up in a multi-resolution hash grid (instant-ngp, section 3).

    Args:
        positions: [M, 3] in [0, 1], float32 or float64. Differentiable.
        table: [spec.num_entries, features_per_level], same type. Differentiable.
        spec: the grid's shape.
        level_begin: int32 [L]; samples before `level_begin[l]` do not use grid level `l`, and their
            features of that level are 0. Samples sorted by pyramid level save work this way.
        use_autodiff: use Taichi's own derivative instead of the written adjoint.
        accumulate_into: a tensor of the table's shape to which the backward pass adds the table's
            gradient; autograd then gets none for the table. This saves one table-sized tensor per
            step. The tensor can be kept on the device (`ops.residence`), as can the table.
        known_features: the result of this call, if an earlier call for the same table gave it. Then
            only the backward pass is computed.

    Returns:
        features [M, L * features_per_level], level after level, coarsest first.

    Raises:
        ValueError: a wrong shape or type.

    Example:
        >>> spec = HashGridSpec(resolutions=(16, 32), features_per_level=2, hash_table_size=2**14)
        >>> hash_encode(torch.rand(5, 3), torch.ones(spec.num_entries, 2), spec).shape
        torch.Size([5, 4])
    """
    check_shape("positions", positions, (None, 3))
    check_shape("table", table, (spec.num_entries, spec.features_per_level))
    taichi_dtype(positions)
    check_dtype("table", table, positions.dtype)
    if level_begin is None:
        level_begin = torch.zeros(spec.num_levels, dtype=torch.int32, device=positions.device)
    check_shape("level_begin", level_begin, (spec.num_levels,))
    check_dtype("level_begin", level_begin, torch.int32)
    if accumulate_into is not None:
        check_shape("accumulate_into", accumulate_into, tuple(table.shape))
        check_dtype("accumulate_into", accumulate_into, table.dtype)
        if not accumulate_into.is_contiguous():
            raise ValueError("accumulate_into must be contiguous")
    if known_features is not None:
        check_shape("known_features", known_features, (positions.shape[0], spec.num_features))
        check_dtype("known_features", known_features, positions.dtype)
    return _HashEncode.apply(
        positions.contiguous(),
        table.contiguous(),
        spec,
        level_begin.contiguous(),
        use_autodiff,
        accumulate_into,
        known_features,
    )


@functools.cache
def level_table(spec: HashGridSpec, device: torch.device) -> torch.Tensor:
    """`spec.level_table` as an int32 tensor [L, 3] for kernels."""
    return torch.tensor(spec.level_table, dtype=torch.int32, device=device)


class _HashEncode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        positions: torch.Tensor,
        table: torch.Tensor,
        spec: HashGridSpec,
        level_begin: torch.Tensor,
        use_autodiff: bool,
        accumulate_into: torch.Tensor | None,
        known: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.save_for_backward(positions, table, level_begin)
        ctx.spec, ctx.use_autodiff = spec, use_autodiff
        ctx.accumulate_into = accumulate_into
        if known is not None:
            return known.detach()
        kernels = hash_grid_kernels(spec, taichi_dtype(positions))
        features = positions.new_empty(positions.shape[0], spec.num_levels, spec.features_per_level)
        if positions.shape[0]:
            levels = level_table(spec, positions.device)
            entries = device_memory(table)
            encode = kernels.encode_blocks if runtime.on_cpu() else kernels.encode
            encode(positions.detach(), entries, levels, level_begin, features)
        return features.view(positions.shape[0], spec.num_features)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_features: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        positions, table, level_begin = ctx.saved_tensors
        positions = positions.detach()
        spec = ctx.spec
        need_positions, need_table = ctx.needs_input_grad[:2]
        kernels = hash_grid_kernels(spec, taichi_dtype(positions))
        levels = level_table(spec, positions.device)
        shape = (positions.shape[0], spec.num_levels, spec.features_per_level)
        grad_features = grad_features.contiguous().view(shape)
        grad_positions = torch.zeros_like(positions) if need_positions else None
        grad_table = ctx.accumulate_into
        if need_table and grad_table is None:
            grad_table = torch.zeros_like(table)
        if positions.shape[0] == 0:
            pass
        elif ctx.use_autodiff:
            # Taichi's adjoint overwrites the cotangents that it is given, so it gets a copy.
            x = autodiff_leaf(positions)
            y = autodiff_leaf(table.detach(), grad_table if need_table else None)
            features = autodiff_leaf(torch.empty_like(grad_features), grad_features.clone())
            kernels.encode.grad(x, y, levels, level_begin, features)
            grad_positions = x.grad if need_positions else None
        else:
            if need_table:
                grad_entries = device_memory(grad_table, writes=True)
                arrays = (positions, grad_features, levels, level_begin, grad_entries)
                if runtime.on_cpu():
                    marks = marks_of(grad_table).view(torch.uint8)
                    kernels.encode_adjoint_table(*arrays, marks)
                else:
                    kernels.encode_adjoint_table_atomic(*arrays)
            if need_positions:
                kernels.encode_adjoint_positions(
                    positions,
                    device_memory(table),
                    grad_features,
                    levels,
                    level_begin,
                    grad_positions,
                )
        if ctx.accumulate_into is not None or not need_table:
            grad_table = None
        return grad_positions, grad_table, None, None, None, None, None
