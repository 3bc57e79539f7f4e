"""Surface normals: the directions in which the density falls fastest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from taichi_pynerf.geometry.constants import constant

# The corners of a regular tetrahedron. Four densities give a gradient there; central differences
# along the axes would need six.
CORNERS = ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0))
NOTHING = 1e-3  # opacity, over a footprint's width, below which densities count as equal


@torch.no_grad()
def density_normals(
    density: Callable[[torch.Tensor], torch.Tensor],
    points: torch.Tensor,
    widths: torch.Tensor | float,
) -> torch.Tensor:
    """Unit normals n = -grad log(sigma) / |grad log(sigma)|, by finite differences.

    The sum over the corners k of k log(sigma(x + h k)) is 4 h times the gradient. The gradient of
    the logarithm has the direction of the density's gradient, but the densest corner alone does not
    dominate it. Densities below `NOTHING / width` are raised to it, so that traces in the air do
    not turn normals.

    Args:
        density: maps world points [4 K, 3] to densities [4 K], per world unit. The four corners of
            a point are consecutive.
        points: [K, 3] points on surfaces, world units.
        widths: [K] or a number, the footprints over which differences are taken, world units.

    Returns:
        [K, 3]; 0 where the density is constant.
    """
    widths = torch.as_tensor(widths, dtype=points.dtype, device=points.device).expand(len(points))
    corners = constant(sum(CORNERS, ()), points).view(-1, 3)
    around = points[:, None] + 0.5 * widths[:, None, None] * corners
    sigmas = density(around.view(-1, 3)).view(-1, len(CORNERS))
    logs = (sigmas + (NOTHING / widths)[:, None]).log()
    return functional.normalize(-(logs[..., None] * corners).sum(1), dim=-1)
