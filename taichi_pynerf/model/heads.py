"""The heads of the pyramid: small networks, each run on one slice of level-sorted samples.

Samples are sorted by the lower of their two levels. The samples whose lower head is `l` then form
one slice S_l. Head `l` is needed on S_(l-1) and S_l, which together are one run of rows. So nothing
is gathered or scattered per head.

On a graphics card all heads are one batched product instead (`tiled_codes`).
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import nn

ROWS_PER_BLOCK = 2**12  # so few that a block's layers fit the cache
TILE = 128  # rows of one level in a batched product


def mlp(widths: list[int]) -> nn.Sequential:
    """Linear layers without bias and with ReLU between them, from widths[0] to widths[-1]."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out, bias=False), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def begin_alike(heads: nn.ModuleList) -> None:
    """Give every head the initial weights of the last one, which sees the most features.

    The outputs of the heads are blended and go into one colour network. Heads that begin alike use
    the same code, and learn faster than heads that must first agree on one.
    """
    for head in heads[:-1]:
        for own, last in zip(head.parameters(), heads[-1].parameters(), strict=True):
            own.copy_(last[:, : own.shape[1]])


def run_in_blocks(
    run: Callable[..., torch.Tensor], *inputs: torch.Tensor, rows: int = ROWS_PER_BLOCK
) -> torch.Tensor:
    """run(*inputs), in blocks of `rows` rows where that is faster and gives the same.

    This is so on a processor without gradients, where only the result is kept: the layers of a
    block stay in the cache and in memory that is already there. Large matrices would take fresh
    memory from the system at every layer, and waiting for it takes longer than the arithmetic.
    """
    few = inputs[0].shape[0] <= rows
    if few or torch.is_grad_enabled() or inputs[0].device.type != "cpu":
        return run(*inputs)
    return torch.cat([run(*block) for block in zip(*(x.split(rows) for x in inputs), strict=True)])


def first_output(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """[M, 1], the first output of an `mlp`, without the cost of the others."""
    *hidden, last = network.children()
    assert isinstance(last, nn.Linear)
    for layer in hidden:
        inputs = layer(inputs)
    return nn.functional.linear(inputs, last.weight[:1])


@dataclass(frozen=True, eq=False)
class LevelSlices:
    """Samples sorted by their lower level.

    Attributes:
        order: int64 [M], the given row of each sorted row.
        fraction: [M, 1] share of the upper head, in sorted rows.
        bounds: int64 [L + 1], `starts` on the device.
        two_heads: whether samples use their upper head too.
    """

    order: torch.Tensor
    fraction: torch.Tensor
    bounds: torch.Tensor
    two_heads: bool

    @cached_property
    def starts(self) -> list[int]:
        """L + 1 numbers; rows starts[l] to starts[l + 1] - 1 have lower level l.

        To ask for them is to wait for the device, once.
        """
        return self.bounds.tolist()

    def rows(self, level: int) -> tuple[int, int]:
        """First row that head `level` works on, and the row after the last."""
        first = self.starts[max(level - 1, 0)] if self.two_heads else self.starts[level]
        return first, self.starts[level + 1]

    def level_begin(self) -> torch.Tensor:
        """int32 [L] first row that needs each level: the upper head reads one level more."""
        first = self.bounds[:-1].int()
        return torch.cat([first[:1], first[:-1]]) if self.two_heads else first


def slice_by_level(
    floor: torch.Tensor, fraction: torch.Tensor, num_levels: int, two_heads: bool
) -> LevelSlices:
    """Sort samples by lower level, keeping their order within a level.

    Args:
        floor: int64 [M] lower levels.
        fraction: [M] shares of the upper head.
    """
    keys, order = torch.sort(floor.to(torch.uint8), stable=True)  # short keys sort faster
    levels = torch.arange(num_levels + 1, dtype=torch.uint8, device=keys.device)
    bounds = torch.searchsorted(keys, levels)
    return LevelSlices(order, fraction[order].unsqueeze(-1), bounds, two_heads)


def feature_slices(
    features: torch.Tensor, slices: LevelSlices, features_per_level: int
) -> list[torch.Tensor]:
    """The features that each head sees: its rows, and the columns of grid levels up to its own.

    Args:
        features: [M, L * features_per_level], in sorted rows. Differentiable.

    Returns:
        L tensors [rows of head l, (l + 1) * features_per_level].
    """
    num_levels = len(slices.starts) - 1
    windows = [
        (*slices.rows(level), (level + 1) * features_per_level) for level in range(num_levels)
    ]
    return list(_Windows.apply(features, windows))


class _Windows(torch.autograd.Function):
    """Overlapping windows of one matrix; their gradients add into one buffer."""

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, windows: list[tuple[int, int, int]]
    ) -> tuple[torch.Tensor, ...]:
        ctx.windows, ctx.shape = windows, features.shape
        ctx.set_materialize_grads(False)
        return tuple(features[first:last, :columns] for first, last, columns in windows)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor, None]:
        total = next(grad for grad in grads if grad is not None).new_zeros(ctx.shape)
        for (first, last, columns), grad in zip(ctx.windows, grads, strict=True):
            if grad is not None:
                total[first:last, :columns] += grad
        return total, None


def blend_slices(outputs: list[torch.Tensor], slices: LevelSlices) -> torch.Tensor:
    """Blend the heads' outputs: (1 - f) h_floor + f h_ceil, in sorted rows.

    Args:
        outputs: L tensors [rows of head l, C].

    Returns:
        [M, C]
    """
    if not slices.two_heads:
        return torch.cat(outputs)
    starts, blended = slices.starts, []
    for level in range(len(starts) - 1):
        first, last = starts[level], starts[level + 1]
        if first == last:
            continue
        lower = outputs[level][first - slices.rows(level)[0] :]
        if level + 2 < len(starts):
            upper = outputs[level + 1][: last - first]
            lower = torch.lerp(lower, upper, slices.fraction[first:last].to(lower.dtype))
        blended.append(lower)
    return torch.cat(blended) if blended else outputs[0]  # of no samples


@torch.no_grad()
def blend_heads(
    run: Callable[[nn.Module, torch.Tensor], torch.Tensor],
    heads: nn.ModuleList,
    seen: list[torch.Tensor],
    slices: LevelSlices,
    rows: int = ROWS_PER_BLOCK,
) -> torch.Tensor:
    """`blend_slices` of the heads' outputs, without gradients: both heads of a block at a time.

    Args:
        run: maps a head and its inputs [R, K] to outputs [R, C].
        heads: L networks.
        seen: the inputs of each of them, as `feature_slices` gives them.
        rows: rows per block; see `run_in_blocks`.

    Returns:
        [M, C], in sorted rows.
    """
    starts, num_rows = slices.starts, slices.order.shape[0]
    if seen[0].device.type != "cpu":
        rows = max(num_rows, 1)
    blended = None
    for level in range(len(starts) - 1):
        below = starts[level] - slices.rows(level)[0]
        for first in range(starts[level], starts[level + 1], rows):
            last = min(first + rows, starts[level + 1])
            own = slice(first - starts[level], last - starts[level])
            out = run(heads[level], seen[level][below:][own])
            if slices.two_heads and level + 2 < len(starts):
                upper = run(heads[level + 1], seen[level + 1][own])
                out.lerp_(upper, slices.fraction[first:last].to(out.dtype))
            if blended is None:
                blended = out.new_empty(num_rows, out.shape[1])
            blended[first:last] = out
    return run(heads[0], seen[0]) if blended is None else blended  # of no samples


# ---- all heads in one product -----------------------------------------------------------------


class _Tiles(NamedTuple):
    """Level-sorted rows in tiles of `TILE`, each of one level.

    Attributes:
        rows: int64 [B * TILE] the sorted row at each place.
        full: [B * TILE, 1] float, 0 where a tile has no row: what stands there does not count.
        places: int64 [M] the place of each sorted row.
        levels: int64 [B] the lower level of each tile.
    """

    rows: torch.Tensor
    full: torch.Tensor
    places: torch.Tensor
    levels: torch.Tensor


def _tiles(slices: LevelSlices, dtype: torch.dtype) -> _Tiles:
    """Cut slices into tiles. How many there can be follows from the number of rows alone."""
    num_rows, bounds = slices.order.shape[0], slices.bounds
    num_levels, device = len(bounds) - 1, bounds.device
    tiles = (bounds.diff() + TILE - 1).div(TILE, rounding_mode="floor")
    ends = tiles.cumsum(0)
    begins = ends - tiles
    numbers = torch.arange(num_rows // TILE + num_levels, device=device)
    levels = torch.searchsorted(ends, numbers, right=True).clamp_max_(num_levels - 1)
    firsts = bounds.index_select(0, levels)
    firsts = firsts + TILE * (numbers - begins.index_select(0, levels))
    rows = firsts.unsqueeze(1) + torch.arange(TILE, device=device)
    full = rows < bounds.index_select(0, levels + 1).unsqueeze(1)
    row = torch.arange(num_rows, device=device)
    own = torch.searchsorted(bounds, row, right=True) - 1
    places = row + (TILE * begins - bounds[:-1]).index_select(0, own)
    return _Tiles(
        rows.clamp_max_(num_rows - 1).view(-1), full.view(-1, 1).to(dtype), places, levels
    )


class _Rearrange(torch.autograd.Function):
    """Rows of a matrix by an index, whose gradient is rows by another index.

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


@functools.cache
def _inner_layout(
    num_levels: int, hidden: int, columns: tuple[int, ...], num_heads: int, device: torch.device
) -> torch.Tensor:
    """Where the entries of `_stacked` stand among all heads' first matrices in a row.

    Returns:
        int64 [num_levels * num_heads * hidden * columns[-1]]; behind the last entry for zeros.
    """
    begins = [0, *accumulate(hidden * width for width in columns)]
    layout = torch.full((num_levels, hidden, columns[-1]), begins[-1])
    for level, width in enumerate(columns):
        own = torch.arange(hidden * width).view(hidden, width)
        layout[level, :, :width] = begins[level] + own
    if num_heads == 2:
        layout = torch.cat([layout, layout[_uppers(num_levels)]], 1)
    return layout.view(-1).to(device)


def _uppers(num_levels: int) -> list[int]:
    """The upper head of each level; the last one has none, and its share is 0."""
    return [min(level + 1, num_levels - 1) for level in range(num_levels)]


def _stacked(heads: Sequence[nn.Module], num_heads: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The matrices of L heads of two layers, side by side with their upper heads'.

    Returns:
        inner [L, num_heads * H, F], with zeros for features that a head does not see, and outer
        [L, C, num_heads * H]. Differentiable.
    """
    inners, outers = zip(*(tuple(head.parameters()) for head in heads), strict=True)
    num_levels, hidden = len(inners), inners[0].shape[0]
    columns = tuple(weight.shape[1] for weight in inners)
    layout = _inner_layout(num_levels, hidden, columns, num_heads, inners[0].device)
    entries = torch.cat([*(weight.reshape(-1) for weight in inners), inners[0].new_zeros(1)])
    inner = entries.index_select(0, layout).view(num_levels, num_heads * hidden, columns[-1])
    outer = torch.stack(outers)
    if num_heads == 2:
        outer = torch.cat([outer, torch.cat([outer[1:], outer[-1:]])], 2)
    return inner, outer


def tiled_codes(
    features: torch.Tensor, slices: LevelSlices, heads: Sequence[nn.Module]
) -> torch.Tensor:
    """The heads' blended outputs [M, C] in sorted rows, by batched products of all levels.

    For devices on which many launches take longer than their work. Nothing is asked of the device.
    Heads of no sample get gradients of zeros. Differentiable.

    Args:
        features: [M, F] grid features, in sorted rows.
        slices: the order in which the samples are sorted.
        heads: L networks of two layers; head l sees the first columns of `features`.
    """
    num_heads = 2 if slices.two_heads else 1
    inner, outer = _stacked(heads, num_heads)
    num_rows, num_outputs = features.shape[0], outer.shape[1]
    if num_rows == 0:
        return features.new_zeros(0, num_outputs)
    tiles = _tiles(slices, features.dtype)
    x = _Rearrange.apply(features, tiles.rows, tiles.places).view(-1, TILE, features.shape[1])
    fraction = slices.fraction.to(features.dtype)
    shares = torch.cat([1 - fraction, fraction], 1) if num_heads == 2 else torch.ones_like(fraction)
    shares = shares.index_select(0, tiles.rows) * tiles.full
    hidden = torch.bmm(x, inner.index_select(0, tiles.levels).transpose(1, 2)).relu()
    hidden = hidden.view(len(shares), num_heads, -1) * shares.unsqueeze(-1)
    hidden = hidden.view(-1, TILE, outer.shape[2])
    codes = torch.bmm(hidden, outer.index_select(0, tiles.levels).transpose(1, 2))
    return _Rearrange.apply(codes.view(-1, num_outputs), tiles.places, tiles.rows)
