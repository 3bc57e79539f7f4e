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


def uncontract(points: torch.Tensor) -> torch.Tensor:
    """The inverse of `contract`, for points [..., 3] inside (-2, 2)^3."""
    m = points.abs().amax(-1, keepdim=True).clamp_min(1)
    return points / (m * (2 - m))
