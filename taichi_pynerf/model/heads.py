"""The heads of the pyramid: small networks, each run on one slice of level-sorted samples.

Samples are sorted by the lower of their two levels. The samples whose lower head is `l` then form
one slice S_l. Head `l` is needed on S_(l-1) and S_l, which together are one run of rows. So nothing
is gathered or scattered per head.

On a graphics card many launches take longer than their work. There the samples stand in tiles of
one level each, and all heads are two batched products (`tiled_codes`), with both heads of a tile
side by side:

    hidden = relu(x [W1_lower; W1_upper]^T) * (1 - f, f),    code = hidden [W2_lower, W2_upper]^T
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.ops.level_tiles import LevelTiles

ROWS_PER_BLOCK = 2**12  # so few that a block's layers fit the cache
TILE = 128  # places of one level in a batched product
LEARNED = "learned_networks.npz"  # in this folder; benchmarks/learn_networks.py makes it


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


@functools.cache
def learned_networks() -> dict[str, torch.Tensor]:
    """{"level.layer" or "color.layer": matrix}, of networks that have learned scenes of the demo.

    The file `LEARNED` holds them in half precision.
    """
    file = resources.files("taichi_pynerf.model").joinpath(LEARNED)
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}


@torch.no_grad()
def begin_learned(heads: nn.ModuleList, color_heads: nn.ModuleList, must: bool = False) -> None:
    """Give networks the weights that networks of the same shapes have learned on other scenes.

    Learned initial weights shorten training, as the networks need not find first how features
    become densities and colours (Tancik et al., "Learned Initializations for Optimizing
    Coordinate-Based Neural Representations", CVPR 2021).

    A head that sees more grid levels than any that has learned begins as the one that saw the most.
    What it makes of the further levels stays random.

    Args:
        heads: density heads.
        color_heads: colour networks; each gets the same weights.
        must: whether it is an error if there are no weights of their shapes.

    Raises:
        ConfigError: there are none, and there must be. Else all are left as they are then.
    """
    learned = learned_networks()
    step = learned["1.0"].shape[1]  # features of a level
    most = max(int(name[0]) for name in learned if name[0].isdigit())
    names = [str(min(next(head.parameters()).shape[1] // step, most)) for head in heads]
    names += len(color_heads) * ["color"]
    pairs: list[tuple[nn.Parameter, torch.Tensor]] = []
    for name, network in zip(names, [*heads, *color_heads], strict=True):
        for layer, own in enumerate(network.parameters()):
            other = learned.get(f"{name}.{layer}")
            further = layer == 0 and name == str(most)  # own may see levels that other did not
            if other is not None and (
                own.shape == other.shape
                or (further and own.shape[0] == other.shape[0] and own.shape[1] > other.shape[1])
            ):
                pairs.append((own, other))
            elif must:
                raise ConfigError(
                    'initial_networks is "learned", but no networks of these shapes have learned: '
                    'choose "auto", which begins with random ones then'
                )
            else:
                return
    for own, other in pairs:
        own[:, : other.shape[1]] = other


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


def inverse(order: torch.Tensor) -> torch.Tensor:
    """The permutation int64 [M] that undoes `order`."""
    places = torch.empty_like(order)
    places[order] = torch.arange(order.shape[0], device=order.device)
    return places


def unsort(rows: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Rows [M, …] back in the order before sorting. Differentiable."""
    return _Unsort.apply(rows, order)


class _Unsort(torch.autograd.Function):
    """The adjoint of a permutation is its inverse."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(order)
        return rows.index_select(0, inverse(order))

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (order,) = ctx.saved_tensors
        return grad.index_select(0, order), None


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


# ---- all heads in two batched products --------------------------------------------------------


@functools.cache
def _layout(
    hidden: int, columns: tuple[int, ...], outputs: int, num_heads: int, device: torch.device
) -> torch.Tensor:
    """Where the entries of `_stacked` stand among all heads' matrices in a row.

    Returns:
        int64 [L * num_heads * hidden * (columns[-1] + outputs)], inner matrices first; behind the
        last entry for zeros.
    """
    num_levels = len(columns)
    ends = [0, *accumulate(hidden * width for width in (*columns, *num_levels * [outputs]))]
    inner = torch.full((num_levels, hidden, columns[-1]), ends[-1])
    outer = torch.empty(num_levels, outputs, hidden, dtype=torch.int64)
    for level, width in enumerate(columns):
        own = torch.arange(hidden * width).view(hidden, width)
        inner[level, :, :width] = ends[level] + own
        own = torch.arange(outputs * hidden).view(outputs, hidden)
        outer[level] = ends[num_levels + level] + own
    if num_heads == 2:  # the last level has no upper head, and its share is 0
        upper = [min(level + 1, num_levels - 1) for level in range(num_levels)]
        inner, outer = torch.cat([inner, inner[upper]], 1), torch.cat([outer, outer[upper]], 2)
    return torch.cat([inner.view(-1), outer.view(-1)]).to(device)


@functools.cache
def _zero(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.zeros(1, dtype=dtype, device=device)


def _stacked(heads: Sequence[nn.Module], num_heads: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The matrices of L heads of two layers, side by side with their upper heads'.

    Returns:
        inner [L, num_heads * H, F], with zeros for features that a head does not see, and outer
        [L, C, num_heads * H]. Differentiable.
    """
    inners, outers = zip(*(tuple(head.parameters()) for head in heads), strict=True)
    num_levels, (num_outputs, hidden) = len(inners), outers[0].shape
    columns = tuple(weight.shape[1] for weight in inners)
    layout = _layout(hidden, columns, num_outputs, num_heads, inners[0].device)
    zero = _zero(inners[0].dtype, inners[0].device)
    entries = torch.cat([*(weight.reshape(-1) for weight in (*inners, *outers)), zero])
    rows = num_heads * hidden
    inner, outer = entries.index_select(0, layout).split(
        [num_levels * rows * columns[-1], num_levels * rows * num_outputs]
    )
    return inner.view(num_levels, rows, columns[-1]), outer.view(num_levels, num_outputs, rows)


def tiled_codes(
    features: torch.Tensor, tiles: LevelTiles, heads: Sequence[nn.Module]
) -> torch.Tensor:
    """The heads' blended outputs [P, C] of samples in tiles. Nothing is asked of the device.

    Places without a sample get zeros, and give no gradients. Heads of no sample get gradients of
    zeros. Differentiable.

    Args:
        features: [P, F] grid features.
        tiles: of `TILE` places.
        heads: L networks of two layers; head l sees the first columns of `features`.
    """
    num_heads = tiles.shares.shape[1]
    inner, outer = _stacked(heads, num_heads)
    x = features.view(len(tiles.levels), -1, features.shape[1])
    hidden = torch.bmm(x, inner.index_select(0, tiles.levels).transpose(1, 2)).relu()
    shares = tiles.shares.view(*x.shape[:2], num_heads, 1)
    hidden = (hidden.view(*x.shape[:2], num_heads, -1) * shares).view(hidden.shape)
    codes = torch.bmm(hidden, outer.index_select(0, tiles.levels).transpose(1, 2))
    return codes.view(-1, outer.shape[1])
