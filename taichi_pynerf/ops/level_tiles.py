"""Samples in tiles of one pyramid level each, for batched products of all levels' matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from taichi_pynerf.kernels.level_tiles import output_kernels, tile_kernels
from taichi_pynerf.ops.bridge import check_dtype, check_shape, once_differentiable, taichi_dtype


class LevelTiles(NamedTuple):
    """M samples at places in B tiles, P in all, levels in ascending order.

    The tiles of a level hold its samples in the order in which these were given. Places that are
    left over repeat sample 0, and their shares are 0.

    Attributes:
        samples: int64 [P] the sample at each place.
        places: int64 [M] the place of each sample.
        levels: int64 [B] the lower level of each tile's samples.
        shares: [P, 1 or 2] of the lower and the upper head.
        level_begin: int32 [L] the first place that needs each level of the grid.
    """

    samples: torch.Tensor
    places: torch.Tensor
    levels: torch.Tensor
    shares: torch.Tensor
    level_begin: torch.Tensor

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Rows [P, …] for values [M, …] of the samples. Differentiable.

        The gradients of places that are left over do not count.
        """
        return _Rearrange.apply(values, self.samples, self.places)

    def scatter(self, rows: torch.Tensor) -> torch.Tensor:
        """Values [M, …] of the samples from rows [P, …]. Differentiable.

        The gradients of places that are left over are arbitrary.
        """
        return _Rearrange.apply(rows, self.places, self.samples)


class _Rearrange(torch.autograd.Function):
    """Rows of a tensor by an index, whose gradient is rows by another index.

    As in autograd's own, but without adding: each row that counts is taken once.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, there: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(back)
        return x.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return grad.index_select(0, back), None, None


@torch.no_grad()
def level_tiles(
    levels: torch.Tensor, num_levels: int, two_heads: bool, num_places: int
) -> LevelTiles:
    """Sort samples into tiles. Not differentiable; nothing is asked of the device.

    Args:
        levels: [M] continuous pyramid levels; what is outside of [0, L - 1] is clamped. M > 0.
        num_levels: L, at most 255.
        two_heads: whether a sample uses the heads below and above its level, the upper one by the
            fraction, or else only the nearest.
        num_places: places of a tile.

    Raises:
        ValueError: a wrong shape or type.
    """
    check_shape("levels", levels, (None,))
    num_samples, device = levels.shape[0], levels.device
    if num_samples == 0:
        raise ValueError("there are no samples for tiles")
    kernels = tile_kernels(num_places, taichi_dtype(levels))
    lower = torch.empty(num_samples, dtype=torch.uint8, device=device)  # short keys sort faster
    fraction = levels.new_empty(num_samples)
    kernels.split_levels(levels.detach().contiguous(), num_levels, int(two_heads), lower, fraction)
    keys, order = torch.sort(lower, stable=True)
    # How many tiles there can be follows from the number of samples alone.
    num_tiles = num_samples // num_places + num_levels
    bounds, begins = (
        torch.empty(num_levels + 1, dtype=torch.int32, device=device) for _ in range(2)
    )
    found = LevelTiles(
        samples=order.new_empty(num_tiles * num_places),
        places=order.new_empty(num_samples),
        levels=order.new_empty(num_tiles),
        shares=levels.new_empty(num_tiles * num_places, 1 + two_heads),
        level_begin=bounds.new_empty(num_levels),
    )
    kernels.fill_tiles(
        keys, order, fraction, bounds, begins, found.level_begin, found.levels, found.samples,
        found.shares, found.places,
    )  # fmt: skip
    return found


def activate(
    codes: torch.Tensor, logits: torch.Tensor, tiles: LevelTiles, max_logit: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Densities and colours of samples from the networks' outputs in tiles.

    Args:
        codes: [P, C], the logits of densities first. Differentiable.
        logits: [P, 3] of colours. Differentiable.
        tiles: of M samples.
        max_logit: bound of a density's logit. The gradient is that of exp, also beyond.

    Returns:
        [M] exp(min(code_0, max_logit)) and [M, 3] sigmoid(logits), in the samples' own order.

    Raises:
        ValueError: a wrong shape or type.
    """
    num_places = tiles.samples.shape[0]
    check_shape("codes", codes, (num_places, None))
    check_shape("logits", logits, (num_places, 3))
    check_dtype("logits", logits, codes.dtype)
    return _Activate.apply(codes.contiguous(), logits.contiguous(), tiles, max_logit)


class _Activate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, codes: torch.Tensor, logits: torch.Tensor, tiles: LevelTiles, max_logit: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        num_samples = tiles.places.shape[0]
        sigmas, rgbs = codes.new_empty(num_samples), codes.new_empty(num_samples, 3)
        ctx.kernels = output_kernels(max_logit, taichi_dtype(codes))
        ctx.kernels.activate(codes.detach(), logits.detach(), tiles.places, sigmas, rgbs)
        ctx.save_for_backward(sigmas, rgbs, tiles.samples, tiles.places)
        ctx.num_codes = codes.shape[1]
        return sigmas, rgbs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        sigmas, rgbs, samples, places = (tensor.detach() for tensor in ctx.saved_tensors)
        grad_sigmas, grad_rgbs = (grad.contiguous() for grad in grads)
        grad_codes = sigmas.new_empty(samples.shape[0], ctx.num_codes)
        grad_logits = sigmas.new_empty(samples.shape[0], 3)
        ctx.kernels.activate_adjoint(
            sigmas, rgbs, samples, places, grad_sigmas, grad_rgbs, grad_codes, grad_logits
        )
        return grad_codes, grad_logits, None, None
