"""Where rays and their samples lie in the scene box, and how large their pixels are there.

The formulas are those of `geometry.scene_box`, `geometry.contraction` and `model.pyramid`:

    x = (o + t d - center) / size + 1/2,    area = pixel_area t^2
    level = that of log2(level_size / sqrt(area)) among the log2 of the levels' resolutions

An unbounded scene is contracted, y = 2x - 1 to y (2 - 1/m) / m with m = max_i |y_i|, and areas
change with it by Nanson's formula.
"""

import functools

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel

LEAST_AREA = 1e-30


@functools.cache
def place_samples_kernel(unbounded: bool, dtype) -> Kernel:
    """Compile the kernel for one kind of scene box and one float type."""
    point = ti.types.vector(3, dtype)
    points, numbers = ti.types.ndarray(point, 1), ti.types.ndarray(dtype, 1)

    @ti.func
    def area_factor(y, m, d):
        """By how much contraction enlarges an area perpendicular to d at y, m = max_i |y_i| > 1.

        det J |J^-T d|, where J is 1 / m^2 along the largest coordinate, `across` along the others,
        and shears these as the largest one grows.
        """
        across = (2 * m - 1) / (m * m)
        shear = 2 * (1 - m) / (m * m * m)
        axis = 0
        for i in ti.static(range(1, 3)):
            if ti.abs(y[i]) > ti.abs(y[axis]):
                axis = i
        sign = ti.select(y[axis] < 0, ti.cast(-1, dtype), ti.cast(1, dtype))
        solved = d / across
        other = ti.cast(0, dtype)
        for i in ti.static(range(3)):
            if i != axis:
                other += shear * sign * y[i] * solved[i]
        solved[axis] = (d[axis] - other) * m * m
        return (across / m) ** 2 * solved.norm()

    @ti.func
    def level_of(log_resolution, knots: ti.template()):
        """The place of a number among ascending knots, from 0 to their number less 1."""
        last = knots.shape[0] - 1
        below = 0
        while below < last - 1 and knots[below + 1] <= log_resolution:
            below += 1
        level = ti.cast(0, dtype)
        if last > 0:
            level = below + (log_resolution - knots[below]) / (knots[below + 1] - knots[below])
        return ti.math.clamp(level, 0, last)

    @kernel
    def place_samples(
        rays_o: points,
        rays_d: points,
        pixel_areas: numbers,
        ray_indices: ti.types.ndarray(ti.i32, 1),
        t_starts: numbers,
        t_ends: numbers,
        center_x: dtype,
        center_y: dtype,
        center_z: dtype,
        size: dtype,
        log_level_size: dtype,
        knots: numbers,
        positions: points,
        levels: numbers,
    ):
        for i in range(ray_indices.shape[0]):
            r, t = ray_indices[i], (t_starts[i] + t_ends[i]) / 2
            center = point(center_x, center_y, center_z)
            x = (rays_o[r] - center) / size + 0.5 + t * (rays_d[r] / size)
            area = pixel_areas[r] * t * t
            if ti.static(unbounded):
                y = 2 * x - 1
                m = ti.max(ti.abs(y[0]), ti.abs(y[1]), ti.abs(y[2]))
                if m > 1:
                    area *= area_factor(y, m, rays_d[r])
                    y *= (2 - 1 / m) / m
                x = y / 4 + 0.5
            else:
                x = ti.math.clamp(x, 0, 1)
            positions[i] = x
            log_width = ti.log(ti.max(area, LEAST_AREA)) / (2 * ti.log(ti.cast(2, dtype)))
            levels[i] = level_of(log_level_size - log_width, knots)

    return place_samples


@functools.cache
def box_rays_kernel(dtype) -> Kernel:
    """Compile the kernel for one float type."""
    point = ti.types.vector(3, dtype)
    points = ti.types.ndarray(point, 1)
    ranges = ti.types.ndarray(dtype, 2)

    @kernel
    def box_rays(
        rays_o: points,
        rays_d: points,
        bounds: ranges,
        corners: points,
        center: points,
        size: dtype,
        origins: points,
        dirs: points,
        ends: ranges,
    ):
        for r in range(rays_o.shape[0]):
            o, d = rays_o[r], rays_d[r]
            inverse_d = 1 / ti.select(ti.abs(d) < 1e-12, ti.cast(1e-12, dtype), d)
            t_low, t_high = (corners[0] - o) * inverse_d, (corners[1] - o) * inverse_d
            near = ti.max(ti.min(t_low, t_high).max(), bounds[r, 0])
            far = ti.min(ti.max(t_low, t_high).min(), bounds[r, 1])
            origins[r] = (o - center[0]) / size + 0.5
            dirs[r] = d / size
            ends[r, 0], ends[r, 1] = near, ti.max(near, far)

    return box_rays
