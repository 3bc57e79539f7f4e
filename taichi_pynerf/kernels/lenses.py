"""Undoing the distortion of lenses; the formulas are in `geometry.distortion`."""

import functools

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel


@functools.cache
def undistort_kernel(dtype) -> Kernel:
    """Compile Newton's method for one float type, with a thread for each point."""
    lens = ti.types.vector(6, dtype)  # k1, k2, k3, k4, p1, p2
    floats = ti.types.ndarray(dtype, 1)

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
            x, y = x_moved[i], y_moved[i]
            left = most_steps
            while left > 0:
                left -= 1
                moved, xx, xy, yy = distort(x, y, k)
                x_error, y_error = moved[0] - x_moved[i], moved[1] - y_moved[i]
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
            x_found[i], y_found[i] = x, y
            determinants[i] = xx * yy - xy * xy

    return undistort
