"""Surface normals from the gradient of the density."""

from __future__ import annotations

import torch
from torch.nn import functional

from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.renderer import Rendered

_LEAST_OPACITY = 0.5  # below it there is no surface to speak of

# The corners of a regular tetrahedron: four samples give a gradient where six neighbours do.
_CORNERS = ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0))


@torch.no_grad()
def surface_normals(model: PyNeRF, rays: Rays, rendered: Rendered) -> torch.Tensor:
    """Unit normals [N, 3] in the world where rays meet something, zeros elsewhere.

    n = -grad log(sigma), by finite differences over half a footprint, each at the pixel's own
    pyramid level: sum_i k_i log(sigma(x + h k_i)) is 4 h times the gradient, for k_i the corners
    above.

    Args:
        rays: N rays.
        rendered: what they met.
    """
    normals = torch.zeros_like(rays.rays_d)
    hit = (rendered.acc > _LEAST_OPACITY).nonzero().squeeze(-1)
    if not len(hit):
        return normals
    box, field = model.renderer.box, model.field
    depth = rendered.depth[hit, None]
    finest = box.field_size / field.resolutions[-1]
    widths = (rays.pixel_areas[hit, None].sqrt() * depth).clamp_min(finest)
    corners = torch.tensor(_CORNERS, device=depth.device)
    points = (rays.rays_o[hit] + depth * rays.rays_d[hit])[:, None]
    points = points + 0.5 * widths[:, None] * corners
    positions = box.unit_to_field(box.to_unit(points).view(-1, 3)).clamp(0, 1)
    levels = rendered.level[hit].repeat_interleave(len(_CORNERS))
    logs = field.density(positions, levels).clamp_min(1e-6).log().view(-1, len(_CORNERS), 1)
    normals[hit] = functional.normalize(-(logs * corners).sum(1), dim=-1)
    return normals
