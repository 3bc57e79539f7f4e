"""Where samples of rays lie in the field, and which pyramid levels they have, in plain torch."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def place_samples(
    rays_o: Tensor,
    rays_d: Tensor,
    pixel_areas: Tensor,
    ray_indices: Tensor,
    t: Tensor,
    center: Sequence[float],
    size: float,
    unbounded: bool,
    level_size: float,
    knots: Tensor,
) -> tuple[Tensor, Tensor]:
    r"""Positions and pyramid levels of samples.

    In an unbounded scene positions are contracted, and the area of a pixel's footprint, whose
    normal is the ray's direction :math:`d`, becomes :math:`|\det J| \, |J^{-\top} d|` times as
    large (Nanson's formula). Here the Jacobian :math:`J` is torch's own.

    Args:
        rays_o, rays_d: [N, 3], world units.
        pixel_areas: [N].
        ray_indices: [M] the ray of each sample.
        t: [M] distances of the samples.
        center, size: of the scene box.
        unbounded: whether space is contracted.
        level_size: see `ops.placement.place_samples`.
        knots: [L] ascending log2 of the levels' resolutions.

    Returns:
        [M, 3] positions and [M] levels.
    """
    ray_indices = ray_indices.long()
    dirs = rays_d[ray_indices]
    points = rays_o[ray_indices] + t[:, None] * dirs
    x = (points - points.new_tensor(center)) / size + 0.5
    areas = pixel_areas[ray_indices] * t.square()

    def contract(y: Tensor) -> Tensor:
        m = y.abs().amax(-1, keepdim=True).clamp_min(1)
        return y * (2 - 1 / m) / m

    if unbounded:
        y = 2 * x - 1
        jacobians = torch.func.vmap(torch.func.jacrev(contract))(y)
        normals = torch.linalg.solve(jacobians.mT, dirs)
        factors = jacobians.det().abs() * normals.norm(dim=-1)
        inside = y.abs().amax(-1) <= 1
        areas = areas * torch.where(inside, torch.ones_like(factors), factors)
        x = contract(y) / 4 + 0.5
    else:
        x = x.clamp(0, 1)
    if len(knots) == 1:
        return x, torch.zeros_like(t)
    wanted = math.log2(level_size) - areas.clamp_min(1e-30).log2() / 2
    last = len(knots) - 1
    below = (torch.searchsorted(knots, wanted) - 1).clamp(0, last - 1)
    level = below + (wanted - knots[below]) / (knots[below + 1] - knots[below])
    return x, level.clamp(0, last)
