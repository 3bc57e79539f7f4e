"""The contraction of unbounded space into a cube, which leaves the scene box unchanged.

With y = 2 (x - 1/2) for unit coordinates x, so that the scene box is |y| <= 1, and m = max_i |y_i|,

    contract(y) = y                     for m <= 1
                  (2 - 1/m) y / m       for m > 1

It is Mip-NeRF 360's contraction (Barron et al. 2022, eq. 10) with the maximum norm in place of the
Euclidean one, as in nerfstudio. Cubes stay cubes, so the image is the whole cube (-2, 2)^3, and no
cell of a grid over it is wasted. Lines through the centre stay lines; far out, distances along them
are proportional to disparity. The map is continuous, with a kink where two coordinates are equally
large. Along lines through the centre it is once differentiable across the border of the box.
"""

import torch


def contract(points: torch.Tensor) -> torch.Tensor:
    """Map points [..., 3], with the scene box at [-1, 1]^3, into (-2, 2)^3. Differentiable."""
    m = points.abs().amax(-1, keepdim=True).clamp_min(1)
    return points * ((2 - 1 / m) / m)


def footprint_scale(points: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """The factor by which contraction changes a small area perpendicular to a direction.

    A surface element with unit normal n and area A is mapped to one of area |det J| |J^-T n| A
    (Nanson's formula), where J is the contraction's Jacobian. Inside the box that is A. At a
    distance m far out, across a ray from the centre, it is ((2m - 1) / m^2)^2 A. So a pixel's
    footprint, which grows as m^2, tends to a fixed number of cells.

    Args:
        points: [M, 3], the scene box at [-1, 1]^3.
        directions: [M, 3] unit directions that the areas are perpendicular to.

    Returns:
        [M], positive.
    """
    m, axis = points.abs().max(-1, keepdim=True)
    outside = m > 1
    m = m.clamp_min(1)
    # J consists of 1 / m^2 along the largest coordinate, `across` along the others, and a shear
    # that moves the others as the largest one grows.
    across = (2 * m - 1) / m.square()
    shear = points * points.gather(-1, axis).sign() * (2 * (1 - m) / (m * m * m))
    solved = directions / across  # J^T solved = directions, except for the largest coordinate
    other = (shear * solved).sum(-1, keepdim=True) - (shear * solved).gather(-1, axis)
    along = (directions.gather(-1, axis) - other) * m.square()
    solved = solved.scatter(-1, axis, along)
    determinant = (across / m).square()
    scale = determinant * solved.norm(dim=-1, keepdim=True)
    return torch.where(outside, scale, torch.ones_like(scale)).squeeze(-1)
