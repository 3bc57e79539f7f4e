"""Marching rays through a multi-resolution occupancy grid.

Instant-ngp, appendix E: cascade k covers a cube of side 2^k around the centre of the unit cube
with `resolution`^3 cells. A ray takes steps of `dt(t) = clamp(t * cone_angle, step_size,
2^(num_cascades-1) * step_size)`, from its entry into the outermost cube, offset by `jitter * dt`.
Steps whose midpoint lies in an occupied cell become samples. (If a step begins in the cube and its
midpoint lies just beyond, the cell at the border decides.) Steps inside an empty cell, or inside an
empty block of cells, are taken without reading the grid again.

Not differentiated: dynamic loops with early exits stay out of autodiff.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel

_vec3 = ti.types.vector(3, ti.f32)


class MarchFunctions(NamedTuple):
    """Taichi functions that kernels share; see `march_functions`."""

    step_at: Callable
    enter_exit: Callable
    seek: Callable


@functools.cache
def march_functions(resolution: int, num_cascades: int, block: int) -> MarchFunctions:
    """The functions of which every kernel that marches is made.

    `step_at` gives the length of the step at t, `enter_exit` the part of a ray within the outermost
    cube. `seek` advances, step by step, to the first step whose midpoint is in an occupied cell.

    Args:
        resolution, num_cascades: shape of the grid.
        block: side, in cells, of the blocks that are skipped as a whole when empty.
    """
    G, K = resolution, num_cascades
    B = -(-G // block)  # blocks along each axis
    outer = float(2 ** (K - 1))  # side of the outermost cascade

    @ti.func
    def step_at(t, cone_angle, step_size):
        return ti.math.clamp(t * cone_angle, step_size, outer * step_size)

    @ti.func
    def enter_exit(o, inverse_d, t_min, t_max):
        low = (0.5 - 0.5 * outer - o) * inverse_d
        high = (0.5 + 0.5 * outer - o) * inverse_d
        return (
            ti.max(t_min, ti.min(low, high).max()),
            ti.min(t_max, ti.max(low, high).min()),
        )

    @ti.func
    def cascade_of(p):
        k = 0
        if ti.static(K > 1):
            reach = 2 * ti.abs(p - 0.5).max()  # 1 on the border of cascade 0
            while k < K - 1 and reach > 1:
                reach *= 0.5
                k += 1
        return k

    @ti.func
    def seek(
        o,
        d,
        inverse_d,
        t,
        t_exit,
        occupied: ti.template(),
        blocks: ti.template(),
        cone_angle,
        step_size,
    ):
        """Returns the step's beginning, its length, and 1; or 0 as the last if there is no step."""
        found = 0
        dt = step_at(t, cone_angle, step_size)
        # Very far away a step may be too short to change t; then the ray ends.
        while found == 0 and t < t_exit and t + dt > t:
            p = o + (t + 0.5 * dt) * d
            k = cascade_of(p)
            side = ti.cast(1 << k, ti.f32)
            q = (p - 0.5) / side + 0.5  # within cascade k
            g = ti.math.clamp(ti.cast(ti.floor(q * G), ti.i32), 0, G - 1)
            if occupied[((k * G + g[0]) * G + g[1]) * G + g[2]] != 0:
                found = 1
            else:
                # Take steps of the same lattice until the midpoint leaves the empty cell or block.
                low, width = g, 1
                b = g // block
                if blocks[((k * B + b[0]) * B + b[1]) * B + b[2]] == 0:
                    low, width = b * block, block
                border = (ti.cast(low, ti.f32) + ti.select(d > 0, 1.0, 0.0) * width) / G
                border = (border - 0.5) * side + 0.5
                # A ray that does not move along an axis never leaves the cell along it.
                t_leave = ti.select(ti.abs(d) < 1e-12, 1e30, (border - o) * inverse_d).min()
                t_leave = ti.min(t_leave, t_exit)
                t += dt
                if cone_angle == 0:
                    t += ti.max(0.0, ti.ceil((t_leave - t) / dt - 0.5)) * dt
                else:
                    dt = step_at(t, cone_angle, step_size)
                    while t + 0.5 * dt < t_leave and t + dt > t:
                        t += dt
                        dt = step_at(t, cone_angle, step_size)
        return t, dt, found

    return MarchFunctions(step_at, enter_exit, seek)


@ti.func
def inverse_of(d):
    """1 / d, finite even where a ray does not move along an axis."""
    return 1.0 / ti.select(ti.abs(d) < 1e-12, 1e-12, d)


class RayMarchKernels(NamedTuple):
    count: Kernel
    emit: Kernel


@functools.cache
def ray_march_kernels(resolution: int, num_cascades: int, block: int) -> RayMarchKernels:
    """Compile the marcher for one grid: a pass that counts and a pass that writes.

    The second pass starts at each ray's first sample, as the first pass found it. So the empty
    space before it is crossed only once.

    Args:
        resolution, num_cascades, block: see `march_functions`.
    """
    step_at, enter_exit, seek = march_functions(resolution, num_cascades, block)

    @ti.func
    def march_one(
        o,
        d,
        jitter,
        t_min,
        t_max,
        occupied: ti.template(),
        blocks: ti.template(),
        cone_angle,
        step_size,
        max_samples,
        r,
        base,
        t_starts: ti.template(),
        t_ends: ti.template(),
        ray_indices: ti.template(),
        write: ti.template(),
    ):
        inverse_d = inverse_of(d)
        t, t_exit = enter_exit(o, inverse_d, t_min, t_max)
        t += jitter * step_at(t, cone_angle, step_size)
        t_first, n, found = t, 0, 1
        while found == 1 and n < max_samples:
            t, dt, found = seek(o, d, inverse_d, t, t_exit, occupied, blocks, cone_angle, step_size)
            if found == 1:
                if ti.static(write):
                    t_starts[base + n] = t
                    t_ends[base + n] = t + dt
                    ray_indices[base + n] = r
                if n == 0:
                    t_first = t
                n += 1
                t += dt
        return n, t_first, t

    @kernel
    def count(
        rays_o: ti.types.ndarray(_vec3, 1),
        rays_d: ti.types.ndarray(_vec3, 1),
        jitter: ti.types.ndarray(ti.f32, 1),
        bounds: ti.types.ndarray(ti.f32, 2),
        occupied: ti.types.ndarray(ti.u8, 1),
        blocks: ti.types.ndarray(ti.u8, 1),
        cone_angle: ti.f32,
        step_size: ti.f32,
        max_samples: ti.i32,
        packed_info: ti.types.ndarray(ti.i32, 2),
        t_first: ti.types.ndarray(ti.f32, 1),
        t_next: ti.types.ndarray(ti.f32, 1),
    ):
        for r in range(rays_o.shape[0]):
            n, first, t = march_one(
                rays_o[r], rays_d[r], jitter[r], bounds[r, 0], bounds[r, 1], occupied, blocks,
                cone_angle, step_size, max_samples, r, 0, t_next, t_next, packed_info, False,
            )  # fmt: skip
            packed_info[r, 1] = n
            t_first[r] = first
            t_next[r] = t

    @kernel
    def emit(
        rays_o: ti.types.ndarray(_vec3, 1),
        rays_d: ti.types.ndarray(_vec3, 1),
        bounds: ti.types.ndarray(ti.f32, 2),
        occupied: ti.types.ndarray(ti.u8, 1),
        blocks: ti.types.ndarray(ti.u8, 1),
        cone_angle: ti.f32,
        step_size: ti.f32,
        packed_info: ti.types.ndarray(ti.i32, 2),
        t_first: ti.types.ndarray(ti.f32, 1),
        t_starts: ti.types.ndarray(ti.f32, 1),
        t_ends: ti.types.ndarray(ti.f32, 1),
        ray_indices: ti.types.ndarray(ti.i32, 1),
    ):
        for r in range(rays_o.shape[0]):
            march_one(
                rays_o[r], rays_d[r], 0.0, t_first[r], bounds[r, 1], occupied, blocks,
                cone_angle, step_size, packed_info[r, 1], r, packed_info[r, 0],
                t_starts, t_ends, ray_indices, True,
            )  # fmt: skip

    return RayMarchKernels(count, emit)
