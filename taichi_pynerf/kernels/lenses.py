"""Undoing the distortion of lenses, and rays of their pixels.

The formulas are those of `geometry.distortion` and `geometry.rays`.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel


class LensFunctions(NamedTuple):
    """Taichi functions that kernels share; see `lens_functions`."""

    undistorted: Callable


@functools.cache
def lens_functions(dtype) -> LensFunctions:
    """The function `undistorted` for one float type.

    It gives the image point that a lens moves to a point, and the determinant there, by Newton's
    method from the moved point.
    """

    @ti.func
    def distort(x, y, k):
        q = x * x + y * y
        radial = 1 + q * (k[0] + q * (k[1] + q * (k[2] + q * k[3])))
        slope = 2 * (k[0] + q * (2 * k[1] + q * (3 * k[2] + q * 4 * k[3])))
        px, py = k[4] * x + k[5] * y, k[4] * y + k[5] * x
        moved = ti.Vector([x * radial + 2 * x * py + k[5] * q, y * radial + 2 * y * py + k[4] * q])
        xx = radial + x * x * slope + 2 * py + 4 * k[5] * x
        xy = x * y * slope + 2 * px
        yy = radial + y * y * slope + 2 * py + 4 * k[4] * y
        return moved, xx, xy, yy

    @ti.func
    def undistorted(x_moved, y_moved, k, most_steps, small_step, farthest):
        x, y = x_moved, y_moved
        left = most_steps
        while left > 0:
            left -= 1
            moved, xx, xy, yy = distort(x, y, k)
            x_error, y_error = moved[0] - x_moved, moved[1] - y_moved
            determinant = xx * yy - xy * xy
            if ti.abs(determinant) < 1e-6:
                determinant = 1e-6
            x_step = (yy * x_error - xy * y_error) / determinant
            y_step = (xx * y_error - xy * x_error) / determinant
            x = ti.math.clamp(x - x_step, -farthest, farthest)
            y = ti.math.clamp(y - y_step, -farthest, farthest)
            if ti.max(ti.abs(x_step), ti.abs(y_step)) < small_step:
                left = 0
        _, xx, xy, yy = distort(x, y, k)
        return x, y, xx * yy - xy * xy

    return LensFunctions(undistorted)


@functools.cache
def undistort_kernel(dtype) -> Kernel:
    """Compile Newton's method for one float type, with a thread for each point."""
    lens = ti.types.vector(6, dtype)  # k1, k2, k3, k4, p1, p2
    floats = ti.types.ndarray(dtype, 1)
    undistorted = lens_functions(dtype).undistorted

    @kernel
    def undistort(
        x_moved: floats,
        y_moved: floats,
        lenses: ti.types.ndarray(lens, 1),
        most_steps: ti.i32,
        small_step: dtype,
        farthest: dtype,
        x_found: floats,
        y_found: floats,
        determinants: floats,
    ):
        for i in range(x_moved.shape[0]):
            k = lenses[ti.min(i, lenses.shape[0] - 1)]  # one for each point, or one for all
            x, y, determinant = undistorted(
                x_moved[i], y_moved[i], k, most_steps, small_step, farthest
            )
            x_found[i], y_found[i], determinants[i] = x, y, determinant

    return undistort


@functools.cache
def pixel_rays_kernel(has_lenses: bool, dtype) -> Kernel:
    """Compile the kernel for cameras with or without distortion, and one float type."""
    point, lens = ti.types.vector(3, dtype), ti.types.vector(6, dtype)
    points, numbers = ti.types.ndarray(point, 1), ti.types.ndarray(dtype, 1)
    whole = ti.types.ndarray(ti.i64, 1)
    undistorted = lens_functions(dtype).undistorted

    @kernel
    def pixel_rays(
        views: whole,
        pixel_x: whole,
        pixel_y: whole,
        c2w: ti.types.ndarray(dtype, 3),
        fx: numbers,
        fy: numbers,
        cx: numbers,
        cy: numbers,
        lenses: ti.types.ndarray(lens, 1),
        most_steps: ti.i32,
        small_step: dtype,
        farthest: dtype,
        least_determinant: dtype,
        rays_o: points,
        rays_d: points,
        pixel_areas: numbers,
    ):
        for i in range(pixel_x.shape[0]):
            v = views[ti.min(i, views.shape[0] - 1)]  # one for each pixel, or one for all
            x = (ti.cast(pixel_x[i], dtype) + 0.5 - cx[v]) / fx[v]
            y = (cy[v] - 0.5 - ti.cast(pixel_y[i], dtype)) / fy[v]
            area = 1 / (fx[v] * fy[v])
            if ti.static(has_lenses):
                x, y, determinant = undistorted(x, -y, lenses[v], most_steps, small_step, farthest)
                y = -y
                area /= ti.max(determinant, least_determinant)
            d, o = point(0), point(0)
            for j in ti.static(range(3)):
                d[j] = x * c2w[v, j, 0] + y * c2w[v, j, 1] - c2w[v, j, 2]
                o[j] = c2w[v, j, 3]
            square = x * x + y * y + 1
            rays_o[i] = o
            # Not the root of `square`, as poses from files are only nearly rotations.
            rays_d[i] = d / d.norm()
            pixel_areas[i] = area / (square * ti.sqrt(square))

    return pixel_rays
