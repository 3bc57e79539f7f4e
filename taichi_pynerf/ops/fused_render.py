"""Rendering rays of a pyramid field in one kernel, without gradients."""

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import nn

from taichi_pynerf.kernels.fused_render import FusedSpec, fused_render_kernel
from taichi_pynerf.kernels.fused_render import Scene as _Arrays
from taichi_pynerf.kernels.hash_grid import HashGridSpec
from taichi_pynerf.ops.bridge import check_dtype, check_shape
from taichi_pynerf.ops.hash_grid import level_table
from taichi_pynerf.ops.ray_march import block_size
from taichi_pynerf.ops.residence import device_memory, keep_on_device

__all__ = ["FusedSpec", "HashGridSpec", "PackedNetworks", "fused_render", "pack_networks"]


@dataclasses.dataclass(frozen=True)
class PackedNetworks:
    """The matrices of all heads and colour networks in one array.

    Attributes:
        weights: float32 [W], matrix after matrix, each [inputs, outputs] row by row.
        head_begin: int32 [num_heads], where each head's matrices begin.
        color_begin: int32 [number of colour networks], likewise.
    """

    weights: torch.Tensor
    head_begin: torch.Tensor
    color_begin: torch.Tensor


@torch.no_grad()
def pack_networks(
    heads: Sequence[nn.Sequential], color_heads: Sequence[nn.Sequential]
) -> PackedNetworks:
    """Lay the matrices of networks without biases out as the kernel reads them."""
    parts, begins, begin = [], [], 0
    for network in (*heads, *color_heads):
        begins.append(begin)
        for linear in network:
            if isinstance(linear, nn.Linear):
                parts.append(linear.weight.detach().float().T.reshape(-1))
                begin += parts[-1].shape[0]
    weights = torch.cat(parts)
    starts = torch.tensor(begins, dtype=torch.int32, device=weights.device)
    return PackedNetworks(
        keep_on_device(weights),
        keep_on_device(starts[: len(heads)].clone()),
        keep_on_device(starts[len(heads) :].clone()),
    )


@torch.no_grad()
def fused_render(
    spec: FusedSpec,
    rays_o: torch.Tensor,
    rays_d: torch.Tensor,
    dirs: torch.Tensor,
    pixel_areas: torch.Tensor,
    bounds: torch.Tensor,
    networks: PackedNetworks,
    table: torch.Tensor,
    occupied: torch.Tensor,
    blocks: torch.Tensor,
    level_min: torch.Tensor,
    level_max: torch.Tensor,
    knots: torch.Tensor,
    box_size: float,
    step_size: float,
    early_stop_eps: float,
    level: float | None = None,
) -> torch.Tensor:
    """March, encode, ask the heads and composite, all in one launch.

    Args:
        spec: what the model looks like.
        rays_o, rays_d: float32 [N, 3] in unit coordinates, as for `march_rays`.
        dirs: float32 [N, 3] unit view directions.
        pixel_areas: float32 [N] area of each ray's pixel at unit distance, world units squared.
        bounds: float32 [N, 2] least and greatest t.
        networks: see `pack_networks`.
        table: float32 [E, F] of the grid `spec.grid`.
        occupied, blocks: uint8 [1, G, G, G] and [1, B, B, B], as for `march_rays`.
        level_min, level_max: float32 [R^3], the levels trained at each place.
        knots: float32 [num_heads], `pyramid.level_knots` of the heads' resolutions.
        box_size: side of the unit cube, world units, times the cells that a footprint's level
            has along a side of it.
        step_size: length of a step, in units of t; the first one is offset by half of it.
        early_stop_eps: share of light below which a ray ends.
        level: a fixed level instead of each sample's own.

    Returns:
        float32 [N, 6] sums of weight * (r, g, b, 1, distance, level) along each ray.
    """
    num_rays, cells = rays_o.shape[0], spec.occupancy_resolution
    for name, tensor, shape in (
        ("rays_o", rays_o, (None, 3)),
        ("rays_d", rays_d, (num_rays, 3)),
        ("dirs", dirs, (num_rays, 3)),
        ("pixel_areas", pixel_areas, (num_rays,)),
        ("bounds", bounds, (num_rays, 2)),
        ("table", table, (spec.grid.num_entries, spec.grid.features_per_level)),
        ("level_min", level_min, (spec.levels_resolution**3,)),
        ("level_max", level_max, (spec.levels_resolution**3,)),
        ("knots", knots, (spec.num_heads,)),
    ):
        check_shape(name, tensor, shape)
        check_dtype(name, tensor, torch.float32)
    check_shape("occupied", occupied, (1, cells, cells, cells))
    check_dtype("occupied", occupied, torch.uint8)
    if spec.block != block_size(1, cells):
        raise ValueError(f"the spec has blocks of {spec.block}, not {block_size(1, cells)} cells")
    sums = rays_o.new_zeros(num_rays, 6)
    if num_rays == 0:
        return sums
    arrays = _Arrays(
        occupied=occupied, blocks=blocks, level_min=level_min, level_max=level_max, knots=knots,
        table=table, grid_levels=level_table(spec.grid, rays_o.device), weights=networks.weights,
        head_begin=networks.head_begin, color_begin=networks.color_begin,
    )  # fmt: skip
    fused_render_kernel(spec)(
        *(x.contiguous() for x in (rays_o, rays_d, dirs, pixel_areas, bounds)),
        step_size, early_stop_eps, math.log2(box_size), -1.0 if level is None else float(level),
        *(device_memory(array) for array in arrays), sums,
    )  # fmt: skip
    return sums
