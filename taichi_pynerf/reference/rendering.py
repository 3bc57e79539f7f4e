"""Rendering by brute force: every step along every ray, to its end."""

from collections.abc import Callable

import torch
from torch import Tensor

from taichi_pynerf.reference.compositing import Composited, composite
from taichi_pynerf.reference.ray_march import march_rays


@torch.no_grad()
def render_rays(
    rays_o: Tensor,
    rays_d: Tensor,
    bounds: Tensor,
    step_size: float,
    query: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
) -> Composited:
    """Composite all steps of each ray through the unit cube: no grid, no early stop.

    The steps are those of the marcher, from where a ray enters, with the first one centred.

    Args:
        rays_o: [N, 3] origins in unit coordinates.
        rays_d: [N, 3] directions in unit coordinates per unit of t.
        bounds: [N, 2] least and greatest t, within the cube.
        step_size: length of a step, in units of t.
        query: maps unit positions [M, 3], ray indices [M] and t [M] to densities [M] and colours
            [M, 3].
    """
    everywhere = torch.ones(1, 1, 1, 1, dtype=torch.uint8)
    jitter = torch.full_like(rays_o[:, 0], 0.5)
    samples, _ = march_rays(
        rays_o, rays_d, jitter, bounds, everywhere, step_size, max_samples=10**9
    )
    t = (samples.t_starts + samples.t_ends) / 2
    rays = samples.ray_indices.long()
    positions = (rays_o[rays] + rays_d[rays] * t[:, None]).clamp(0, 1)
    sigmas, rgbs = query(positions, rays, t)
    return composite(sigmas, rgbs, samples.t_starts, samples.t_ends, samples.packed_info)
