"""Rendering rays of a pyramid field in one kernel, without gradients."""

import dataclasses
import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional

from taichi_pynerf.kernels.fused_render import (
    NOT_BEGUN,
    TILE,
    FusedSpec,
    SceneArrays,
    fused_render_kernel,
    tiles_of,
)
from taichi_pynerf.ops.bridge import check_dtype, check_shape
from taichi_pynerf.ops.hash_grid import level_table
from taichi_pynerf.ops.ray_march import block_size
from taichi_pynerf.ops.residence import device_memory, keep_on_device, to_host

__all__ = [
    "FusedSpec",
    "PackedNetworks",
    "fused_render",
    "linear_layers",
    "pack_networks",
]


SAMPLES_PER_LAUNCH = 8


@dataclasses.dataclass(frozen=True)
class PackedNetworks:
    """The matrices of all heads and colour networks in one array.

    Attributes:
        weights: float32 [W, TILE], matrix after matrix, each [inputs, outputs] row by row, with
            every row padded with zeros to a whole number of tiles.
        layers: int32 [number of matrices, 4], rows (inputs, tiles of outputs, first row of the
            matrix in `weights`, 1 if ReLU follows); heads first, then colour networks.
    """

    weights: torch.Tensor
    layers: torch.Tensor


@torch.no_grad()
def pack_networks(heads: Iterable[nn.Module], color_heads: Iterable[nn.Module]) -> PackedNetworks:
    """Pack the matrices of networks without biases into the kernel's layout."""
    tiles, rows_of_layers, begin = [], [], 0
    for network in (*heads, *color_heads):
        linears = linear_layers(network)
        for linear in linears:
            num_tiles = tiles_of(linear.out_features)
            rows = linear.weight.detach().float().T
            rows = functional.pad(rows, (0, num_tiles * TILE - linear.out_features))
            tiles.append(rows.reshape(-1, TILE))
            rows_of_layers.append(
                [linear.in_features, num_tiles, begin, int(linear is not linears[-1])]
            )
            begin += len(tiles[-1])
    weights = torch.cat(tiles)
    layers = torch.tensor(rows_of_layers, dtype=torch.int32, device=weights.device)
    return PackedNetworks(keep_on_device(weights), keep_on_device(layers))


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """The linear layers of a network, in order."""
    return [part for part in network.children() if isinstance(part, nn.Linear)]


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
    level_size: float,
    step_size: float,
    early_stop_eps: float,
    level: float | None = None,
) -> torch.Tensor:
    """March, encode, evaluate heads and composite, `SAMPLES_PER_LAUNCH` samples per ray and launch.

    So launches stay short. Drivers end launches that keep a screen waiting, and Mesa's software
    driver ends all loops of a shader after 65,535 iterations in total. The state of the rays stays
    on the device from launch to launch.

    Args:
        spec: the constants of the kernel.
        rays_o, rays_d: float32 [N, 3] in unit coordinates, as for `march_rays`.
        dirs: float32 [N, 3] unit view directions.
        pixel_areas: float32 [N] area of each ray's pixel at unit distance, world units squared.
        bounds: float32 [N, 2] least and greatest t.
        networks: see `pack_networks`.
        table: float32 [E, F] of the grid `spec.grid`.
        occupied, blocks: uint8 [1, G, G, G] and [1, B, B, B], as for `march_rays`.
        level_min, level_max: float32 [R^3], the levels trained at each place.
        knots: float32 [num_heads], `pyramid.level_knots` of the heads' resolutions.
        level_size: side of the unit cube, world units, times `config.cells_per_footprint`.
        step_size: length of a step, in units of t; the first step is offset by half of it.
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
    arrays = SceneArrays(
        occupied=occupied, blocks=blocks, level_min=level_min, level_max=level_max, knots=knots,
        table=table, grid_levels=level_table(spec.grid, rays_o.device), layers=networks.layers,
        weights=networks.weights,
    )  # fmt: skip
    geometry = [
        device_memory(keep_on_device(x.detach().contiguous()))
        for x in (rays_o, rays_d, dirs, pixel_areas, bounds)
    ]
    t_next = keep_on_device(torch.full_like(pixel_areas, NOT_BEGUN))
    keep_on_device(sums)
    kernel, num_alive = fused_render_kernel(spec), rays_o.new_ones(1, dtype=torch.int32)
    while num_alive:
        num_alive.zero_()
        kernel(
            *geometry,
            step_size, early_stop_eps, math.log2(level_size),
            -1.0 if level is None else float(level),
            *(device_memory(array) for array in arrays), SAMPLES_PER_LAUNCH,
            device_memory(t_next, writes=True), device_memory(sums, writes=True), num_alive,
        )  # fmt: skip
    return to_host(sums)
