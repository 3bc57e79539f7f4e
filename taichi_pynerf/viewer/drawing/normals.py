"""Normals of the surfaces that rays meet."""

from __future__ import annotations

import torch

from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.normals import CORNERS, density_normals
from taichi_pynerf.model.renderer import Rendered

_LEAST_OPACITY = 0.5  # opacity below which a pixel has no normal


@torch.no_grad()
def surface_normals(model: PyNeRF, rays: Rays, rendered: Rendered) -> torch.Tensor:
    """Unit normals [N, 3] in the world where rays hit something, zeros elsewhere.

    Each is taken over its pixel's footprint, at its pixel's own pyramid level.

    Args:
        rays: N rays.
        rendered: the result of rendering them.
    """
    normals = torch.zeros_like(rays.rays_d)
    hit = (rendered.acc > _LEAST_OPACITY).nonzero().squeeze(-1)
    if not len(hit):
        return normals
    box, field = model.renderer.box, model.field
    depth = rendered.depth[hit]
    finest = box.field_size / field.resolutions[-1]
    widths = (rays.pixel_areas[hit].sqrt() * depth).clamp_min(finest)
    levels = rendered.level[hit].repeat_interleave(len(CORNERS))

    def density(points: torch.Tensor) -> torch.Tensor:
        return field.density(box.unit_to_field(box.to_unit(points)).clamp(0, 1), levels)

    points = rays.rays_o[hit] + depth[:, None] * rays.rays_d[hit]
    normals[hit] = density_normals(density, points, widths)
    return normals
