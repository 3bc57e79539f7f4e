"""Where rays and their samples lie in the scene box, and which pyramid levels they have."""

import math
from collections.abc import Sequence

import torch

from taichi_pynerf.kernels.placement import box_rays_kernel, place_samples_kernel
from taichi_pynerf.kernels.proposals import interval_middles_kernel
from taichi_pynerf.ops.bridge import check_dtype, check_shape, taichi_dtype
from taichi_pynerf.ops.ray_march import Samples


@torch.no_grad()
def place_samples(
    rays_o: torch.Tensor,
    rays_d: torch.Tensor,
    pixel_areas: torch.Tensor,
    samples: Samples,
    center: Sequence[float],
    size: float,
    unbounded: bool,
    level_size: float,
    knots: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Field coordinates and pyramid levels of the middles of packed samples. Not differentiable.

    Args:
        rays_o, rays_d: [N, 3] origins and unit directions, world units.
        pixel_areas: [N] of the rays' pixels at distance 1.
        samples: M packed samples, world units.
        center, size: of the scene box, world units.
        unbounded: whether space is contracted around the box; else it ends at the box.
        level_size: side of the cube of field coordinates, in units in which a cell as wide as a
            footprint has the footprint's level.
        knots: [L] ascending log2 of the levels' resolutions.

    Returns:
        [M, 3] positions in the unit cube; [M] levels in [0, L - 1].

    Raises:
        ValueError: a wrong shape or type.
    """
    num_rays, num_samples = rays_o.shape[0], samples.t_starts.shape[0]
    for name, tensor, shape in (
        ("rays_o", rays_o, (None, 3)),
        ("rays_d", rays_d, (num_rays, 3)),
        ("pixel_areas", pixel_areas, (num_rays,)),
        ("t_starts", samples.t_starts, (None,)),
        ("t_ends", samples.t_ends, (num_samples,)),
        ("knots", knots, (None,)),
    ):
        check_shape(name, tensor, shape)
        check_dtype(name, tensor, rays_o.dtype)
    check_shape("ray_indices", samples.ray_indices, (num_samples,))
    check_dtype("ray_indices", samples.ray_indices, torch.int32)
    positions, levels = rays_o.new_empty(num_samples, 3), rays_o.new_empty(num_samples)
    if num_samples:
        given = (
            rays_o, rays_d, pixel_areas, samples.ray_indices, samples.t_starts, samples.t_ends
        )  # fmt: skip
        arrays = (values.detach().contiguous() for values in given)
        launch = place_samples_kernel(unbounded, taichi_dtype(rays_o))
        numbers = (*center, size, math.log2(level_size))
        launch(*arrays, *numbers, knots.contiguous(), positions, levels)
    return positions, levels


@torch.no_grad()
def box_rays(
    rays_o: torch.Tensor,
    rays_d: torch.Tensor,
    bounds: torch.Tensor,
    corners: torch.Tensor,
    center: torch.Tensor,
    size: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rays in coordinates in which a cube of side 1 is the scene box, and where they are in a box.

    Distances along the rays stay in world units. Not differentiable.

    Args:
        rays_o, rays_d: [N, 3] origins and directions, world units.
        bounds: [N, 2] least and greatest distance.
        corners: [2, 3] of the box in which rays are followed, world units.
        center: [1, 3] of the scene box.
        size: of the scene box.

    Returns:
        [N, 3] origins, [N, 3] directions, and [N, 2] least and greatest distance within the bounds
        and the box. A ray that misses the box gets two equal ones.

    Raises:
        ValueError: a wrong shape or type.
    """
    num_rays = rays_o.shape[0]
    for name, tensor, shape in (
        ("rays_o", rays_o, (None, 3)),
        ("rays_d", rays_d, (num_rays, 3)),
        ("bounds", bounds, (num_rays, 2)),
        ("corners", corners, (2, 3)),
        ("center", center, (1, 3)),
    ):
        check_shape(name, tensor, shape)
        check_dtype(name, tensor, rays_o.dtype)
    found = rays_o.new_empty(num_rays, 3), rays_o.new_empty(num_rays, 3), torch.empty_like(bounds)
    if num_rays:
        arrays = (x.detach().contiguous() for x in (rays_o, rays_d, bounds, corners, center))
        box_rays_kernel(taichi_dtype(rays_o))(*arrays, size, *found)
    return found


@torch.no_grad()
def interval_middles(
    rays_o: torch.Tensor,
    rays_d: torch.Tensor,
    borders: torch.Tensor,
    size: float,
    unbounded: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Field coordinates of the middles of intervals, and how long these are to the field.

    Args:
        rays_o, rays_d: [N, 3] in unit coordinates, t in world units.
        borders: [N, S + 1] ascending, in the scene box's spacing.
        size: of the scene box, world units.
        unbounded: whether space is contracted around the box; else it ends at the box.

    Returns:
        [N, S, 3] positions; [N, S] lengths in world units, of an unbounded scene in sizes of what
        is around (`SceneBox.closeness`). Neither is differentiable.
    """
    num_rays = rays_o.shape[0]
    for name, tensor, shape in (
        ("rays_o", rays_o, (None, 3)),
        ("rays_d", rays_d, (num_rays, 3)),
        ("borders", borders, (num_rays, None)),
    ):
        check_shape(name, tensor, shape)
        check_dtype(name, tensor, rays_o.dtype)
    lengths = borders.new_empty(num_rays, borders.shape[1] - 1)
    positions = borders.new_empty(*lengths.shape, 3)
    if lengths.numel():
        arrays = (x.detach().contiguous() for x in (rays_o, rays_d, borders))
        interval_middles_kernel(unbounded, taichi_dtype(rays_o))(*arrays, size, positions, lengths)
    return positions, lengths
