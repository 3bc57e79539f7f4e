"""Where the samples of rays lie in the field, from the borders of their intervals."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel


class IntervalFunctions(NamedTuple):
    """Taichi functions that kernels share; see `interval_functions`."""

    distance: Callable
    middle: Callable


@functools.cache
def interval_functions(unbounded: bool, dtype) -> IntervalFunctions:
    """The functions that place intervals of rays in one kind of scene box.

    `distance` is `SceneBox.from_spacing`. `middle` gives the field coordinates of the middle of an
    interval between two distances, and the interval's length to the field.
    """

    @ti.func
    def distance(s, size):
        t = s
        if ti.static(unbounded):
            t = size * ti.select(s < 0.5, 2 * s, 0.5 / (1 - ti.max(s, 0.5)))
        return t

    @ti.func
    def middle(ray_o, ray_d, begin, end, size):
        x = ray_o + (begin + end) / 2 * ray_d
        length = end - begin
        if ti.static(unbounded):
            y = 2 * x - 1  # see `contraction.contract` and `SceneBox.closeness`
            m = ti.max(ti.abs(y[0]), ti.abs(y[1]), ti.abs(y[2]), ti.cast(1, dtype))
            x = y * ((2 - 1 / m) / m) / 4 + 0.5
            length /= m * size
        else:
            x = ti.math.clamp(x, 0, 1)
        return x, length

    return IntervalFunctions(distance, middle)


@functools.cache
def interval_middles_kernel(unbounded: bool, dtype) -> Kernel:
    """Compile the kernel for one kind of scene box and one float type."""
    point = ti.types.vector(3, dtype)
    floats = ti.types.ndarray(dtype, 2)
    distance, middle = interval_functions(unbounded, dtype)

    @kernel
    def interval_middles(
        rays_o: ti.types.ndarray(point, 1),
        rays_d: ti.types.ndarray(point, 1),
        borders: floats,
        size: dtype,
        positions: ti.types.ndarray(point, 2),
        lengths: floats,
    ):
        for r in range(rays_o.shape[0]):
            end = distance(borders[r, 0], size)
            for s in range(lengths.shape[1]):
                begin = end
                end = distance(borders[r, s + 1], size)
                x, length = middle(rays_o[r], rays_d[r], begin, end, size)
                positions[r, s] = x
                lengths[r, s] = length

    return interval_middles
