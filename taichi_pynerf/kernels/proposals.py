"""Where the samples of rays lie in the field, from the borders of their intervals."""

import functools

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel


@functools.cache
def interval_middles_kernel(unbounded: bool, dtype) -> Kernel:
    """Compile the kernel for one kind of scene box and one float type."""
    point = ti.types.vector(3, dtype)
    floats = ti.types.ndarray(dtype, 2)

    @ti.func
    def distance(s, size):
        """See `SceneBox.from_spacing`."""
        t = s
        if ti.static(unbounded):
            t = size * ti.select(s < 0.5, 2 * s, 0.5 / (1 - ti.max(s, 0.5)))
        return t

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
                x = rays_o[r] + (begin + end) / 2 * rays_d[r]
                length = end - begin
                if ti.static(unbounded):
                    y = 2 * x - 1  # see `contraction.contract` and `SceneBox.closeness`
                    m = ti.max(ti.abs(y[0]), ti.abs(y[1]), ti.abs(y[2]), ti.cast(1, dtype))
                    x = y * ((2 - 1 / m) / m) / 4 + 0.5
                    length /= m * size
                else:
                    x = ti.math.clamp(x, 0, 1)
                positions[r, s] = x
                lengths[r, s] = length

    return interval_middles
