"""Where samples of rays lie in the field, and which pyramid levels they have."""

import math
from collections.abc import Sequence

import torch

from taichi_pynerf.kernels.placement import place_samples_kernel
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
