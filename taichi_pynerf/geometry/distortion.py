"""Lens distortion: the polynomial model of OpenCV and nerfstudio, its derivative and its inverse.

A lens moves the image point (x, y), in units of the focal length with x right and y down, to

    x' = x R + 2 p1 x y + p2 (q + 2 x^2)
    y' = y R + 2 p2 x y + p1 (q + 2 y^2)
    R  = 1 + k1 q + k2 q^2 + k3 q^3 + k4 q^4,    q = x^2 + y^2

(Brown, "Decentering distortion of lenses", 1966; the coefficients are in nerfstudio's order). For a
perspective lens (x, y) is the point on the plane at distance 1. For a fisheye lens it is the angle
to the optical axis times the direction in the image; with p1 = p2 = 0 this is OpenCV's fisheye
model (Kannala and Brandt, 2006).

Coefficients are tensors [..., 6] that broadcast with x and y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from taichi_pynerf.ops import lenses as lens_ops
from taichi_pynerf.runtime import runs_kernels

COEFFICIENTS = ("k1", "k2", "k3", "k4", "p1", "p2")

MAX_ITERATIONS = 20
"""Greatest number of Newton steps. Each doubles the correct digits: real lenses need 3 to 5."""

SMALL_STEP = 1e-5
"""If a step is this small, the next one is below the precision."""

FARTHEST = 16.0
"""Greatest radius of image points: 86 degrees off the axis of a perspective lens."""

LEAST_DETERMINANT = 1e-3
"""Least factor by which a lens may change areas. At a fold the factor is 0."""

NEWTON_LIMITS = lens_ops.NewtonLimits(MAX_ITERATIONS, SMALL_STEP, FARTHEST, LEAST_DETERMINANT)


def distort(
    x: torch.Tensor, y: torch.Tensor, coefficients: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The points to which the lens moves image points [N]."""
    x_moved, y_moved, *_ = _distort_with_jacobian(x, y, coefficients)
    return x_moved, y_moved


def undistort(
    x_moved: torch.Tensor, y_moved: torch.Tensor, coefficients: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The inverse of `distort`, by Newton's method from the moved point, to float precision.

    Inside of a fold of the lens the steps approach the solution from one side, so they converge
    wherever there is one. Elsewhere the result is finite but meaningless: see `has_inverse`.

    Returns:
        x, y: [N] image points.
        determinant: [N], the factor by which the lens changes small areas at (x, y); positive.
    """
    if runs_kernels(x_moved):
        lenses = coefficients.reshape(-1, len(COEFFICIENTS))
        flat = x_moved.reshape(-1), y_moved.reshape(-1)
        found = lens_ops.undistort(*flat, lenses, MAX_ITERATIONS, SMALL_STEP, FARTHEST)
        x, y, determinant = (values.view_as(x_moved) for values in found)
    else:
        x, y, determinant = newton(x_moved, y_moved, coefficients)
    return x, y, determinant.clamp_min(LEAST_DETERMINANT)


def newton(
    x_moved: torch.Tensor, y_moved: torch.Tensor, coefficients: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`undistort` in plain torch, which needs no backend; its determinant may be of any sign."""
    x, y = x_moved, y_moved
    for _ in range(MAX_ITERATIONS):
        x_here, y_here, xx, xy, yy = _distort_with_jacobian(x, y, coefficients)
        x_error, y_error = x_here - x_moved, y_here - y_moved
        determinant = xx * yy - xy * xy
        safe = torch.where(determinant.abs() < 1e-6, 1e-6, determinant)
        x_step = (yy * x_error - xy * y_error) / safe
        y_step = (xx * y_error - xy * x_error) / safe
        x = (x - x_step).clamp(-FARTHEST, FARTHEST)
        y = (y - y_step).clamp(-FARTHEST, FARTHEST)
        if not x.numel() or max(float(x_step.abs().max()), float(y_step.abs().max())) < SMALL_STEP:
            break
    *_, xx, xy, yy = _distort_with_jacobian(x, y, coefficients)
    return x, y, xx * yy - xy * xy


def has_inverse(
    x_moved: torch.Tensor, y_moved: torch.Tensor, coefficients: Sequence[float]
) -> torch.Tensor:
    """bool [N]: whether `undistort` finds the image point that a lens moves to each point.

    Most polynomials fold back beyond a certain radius. No image point is moved to a point outside
    of the fold's image.
    """
    lens = torch.tensor(coefficients, dtype=x_moved.dtype, device=x_moved.device)
    x, y, determinant = undistort(x_moved, y_moved, lens)
    x_again, y_again = distort(x, y, lens)
    size = 1.0 + torch.hypot(x_moved, y_moved)
    found = torch.hypot(x_again - x_moved, y_again - y_moved) <= 1e-4 * size
    inside = torch.hypot(x, y) <= min(fold_radius(coefficients), FARTHEST)
    return found & inside & (determinant > LEAST_DETERMINANT)


def fold_radius(coefficients: Sequence[float]) -> float:
    """The radius up to which the radial part increases monotonically; may be infinite.

    d(r R) / dr = 1 + 3 k1 q + 5 k2 q^2 + 7 k3 q^3 + 9 k4 q^4 has its least positive root there.
    """
    k1, k2, k3, k4 = (float(k) for k in coefficients[:4])
    roots = np.roots([9.0 * k4, 7.0 * k3, 5.0 * k2, 3.0 * k1, 1.0])
    folds = roots[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0.0)].real
    return math.sqrt(folds.min()) if len(folds) else math.inf


def _distort_with_jacobian(
    x: torch.Tensor, y: torch.Tensor, coefficients: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """x', y', dx'/dx, dx'/dy and dy'/dy; dy'/dx equals dx'/dy."""
    k1, k2, k3, k4, p1, p2 = coefficients.unbind(-1)
    q = x * x + y * y
    radial = 1.0 + q * (k1 + q * (k2 + q * (k3 + q * k4)))
    slope = 2.0 * (k1 + q * (2.0 * k2 + q * (3.0 * k3 + q * 4.0 * k4)))
    px, py = p1 * x + p2 * y, p1 * y + p2 * x
    return (
        x * radial + 2.0 * x * py + p2 * q,
        y * radial + 2.0 * y * py + p1 * q,
        radial + x * x * slope + 2.0 * py + 4.0 * p2 * x,
        x * y * slope + 2.0 * px,
        radial + y * y * slope + 2.0 * py + 4.0 * p1 * y,
    )
