"""Real spherical harmonics in plain torch."""

from math import pi, sqrt

import torch
from torch import Tensor


def spherical_harmonics(dirs: Tensor) -> Tensor:
    r"""Real spherical harmonics of bands 0 to 3, with the Condon-Shortley phase.

    .. math:: Y_{lm}(x, y, z), \quad l = 0 \dots 3, \; m = -l \dots l

    On the unit sphere they are polynomials of the coordinates (Sloan 2013, "Efficient Spherical
    Harmonic Evaluation", appendix). These polynomials are evaluated and differentiated.

    Args:
        dirs: unit vectors, [M, 3].

    Returns:
        The 16 basis functions, [M, 16], ordered by band, then by order from -l to l.
    """
    x, y, z = dirs.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack(
        [
            sqrt(1 / (4 * pi)) * torch.ones_like(x),
            -sqrt(3 / (4 * pi)) * y,
            sqrt(3 / (4 * pi)) * z,
            -sqrt(3 / (4 * pi)) * x,
            sqrt(15 / (4 * pi)) * x * y,
            -sqrt(15 / (4 * pi)) * y * z,
            sqrt(5 / (16 * pi)) * (3 * zz - 1),
            -sqrt(15 / (4 * pi)) * x * z,
            sqrt(15 / (16 * pi)) * (xx - yy),
            -sqrt(35 / (32 * pi)) * y * (3 * xx - yy),
            sqrt(105 / (4 * pi)) * x * y * z,
            -sqrt(21 / (32 * pi)) * y * (5 * zz - 1),
            sqrt(7 / (16 * pi)) * z * (5 * zz - 3),
            -sqrt(21 / (32 * pi)) * x * (5 * zz - 1),
            sqrt(105 / (16 * pi)) * z * (xx - yy),
            -sqrt(35 / (32 * pi)) * x * (xx - 3 * yy),
        ],
        dim=-1,
    )
