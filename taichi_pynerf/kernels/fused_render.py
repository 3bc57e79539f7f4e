"""Rendering in one kernel: march, encode, ask the pyramid's heads, composite; a thread per ray.

It computes what `renderer.PyramidRenderer.render_rays` puts together from packed samples, but a
sample never leaves its thread: nothing is sorted, gathered or stored in between, a ray ends as
soon as it is opaque, and no torch is needed on the device. The parts are the functions that the
other kernels are made of; new here are the networks.

The networks are stacks of matrices without bias, ReLU in between (`heads.mlp`). All matrices lie in
one array, one after the other, each with a row of outputs per input.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import taichi as ti

from taichi_pynerf.kernels.hash_grid import HashGridSpec, hash_grid_functions
from taichi_pynerf.kernels.ray_march import inverse_of, march_functions
from taichi_pynerf.kernels.spherical_harmonics import (
    NUM_COEFFICIENTS,
    spherical_harmonics_function,
)

_vec3 = ti.types.vector(3, ti.f32)


@dataclass(frozen=True)
class FusedSpec:
    """What the kernel is compiled for.

    Args:
        grid: the feature grid, shared by all heads.
        num_heads: heads of the pyramid; 1 head sees the whole grid.
        head_widths: outputs of the matrices of a density head; the last are a density and features.
        color_widths: outputs of the matrices of a colour network; the last are three.
        blend_colors: blend densities and colours of two colour networks, not embeddings.
        linear: blend two heads; else take the nearest alone.
        occupancy_resolution, block: of the occupancy grid, see `march_functions`.
        levels_resolution: of the grid of trained levels.
    """

    grid: HashGridSpec
    num_heads: int
    head_widths: tuple[int, ...]
    color_widths: tuple[int, ...]
    blend_colors: bool
    linear: bool
    occupancy_resolution: int
    block: int
    levels_resolution: int


class Scene(NamedTuple):
    """The order of the kernel's arrays that stay the same from ray to ray."""

    occupied: object
    blocks: object
    level_min: object
    level_max: object
    knots: object
    table: object
    grid_levels: object
    weights: object
    head_begin: object
    color_begin: object


@functools.cache
def fused_render_kernel(spec: FusedSpec):
    """Compile the renderer of one model."""
    F, H = spec.grid.features_per_level, spec.num_heads
    first_level = spec.grid.num_levels - H  # grid levels below the first head's own
    num_out = spec.head_widths[-1]
    G = spec.levels_resolution
    widest = max(
        spec.grid.num_features, num_out + NUM_COEFFICIENTS, *spec.head_widths, *spec.color_widths
    )
    buffer = ti.types.vector(widest, ti.f32)
    embedding = ti.types.vector(num_out, ti.f32)
    lookup = hash_grid_functions(spec.grid, ti.f32).lookup
    step_at, enter_exit, seek = march_functions(spec.occupancy_resolution, 1, spec.block)
    basis_of = spherical_harmonics_function(ti.f32)
    floats, flags = ti.types.ndarray(ti.f32, 1), ti.types.ndarray(ti.u8, 1)

    # ---- networks ---------------------------------------------------------------------------

    @ti.func
    def layer(
        x: ti.template(),
        y: ti.template(),
        weights: ti.template(),
        begin,
        fan_in,
        fan_out: ti.template(),
        rectify: ti.template(),
    ):
        """y[:fan_out] = x[:fan_in] times the matrix that begins at `begin`."""
        for j in range(fan_out):
            y[j] = 0.0
        for k in range(fan_in):
            for j in range(fan_out):
                y[j] += x[k] * weights[begin + k * fan_out + j]
        if ti.static(rectify):
            for j in range(fan_out):
                y[j] = ti.max(y[j], 0.0)

    @ti.func
    def network(
        x: ti.template(),
        y: ti.template(),
        weights: ti.template(),
        begin,
        fan_in,
        widths: ti.template(),
    ):
        """Run a stack of matrices on x; the result is in y. Both are overwritten."""
        for i in ti.static(range(len(widths))):
            last = ti.static(i + 1 == len(widths))
            if ti.static(i % 2 == 0):
                layer(x, y, weights, begin, fan_in, widths[i], not last)
            else:
                layer(y, x, weights, begin, fan_in, widths[i], not last)
            begin += fan_in * widths[i]
            fan_in = widths[i]
        if ti.static(len(widths) % 2 == 0):
            for j in range(widths[len(widths) - 1]):
                y[j] = x[j]

    @ti.func
    def head(h, features: ti.template(), weights: ti.template(), head_begin: ti.template()):
        x, y = features, buffer(0)
        fan_in = (first_level + h + 1) * F
        network(x, y, weights, head_begin[h], fan_in, spec.head_widths)
        out = embedding(0)
        for j in ti.static(range(num_out)):
            out[j] = y[j]
        return out

    @ti.func
    def color(h, e, basis, weights: ti.template(), color_begin: ti.template()):
        x, y = buffer(0), buffer(0)
        for j in ti.static(range(num_out)):
            x[j] = e[j]
        for j in ti.static(range(NUM_COEFFICIENTS)):
            x[num_out + j] = basis[j]
        fan_in = num_out + NUM_COEFFICIENTS
        network(x, y, weights, color_begin[h], fan_in, spec.color_widths)
        return 1 / (1 + ti.exp(-_vec3(y[0], y[1], y[2])))

    @ti.func
    def density(logit):
        return ti.exp(ti.min(logit, 15.0))  # field.truncated_exp

    @ti.func
    def field(p, basis, level, scene: ti.template()):
        """Density and colour of one sample; see `field.PyramidField`."""
        lower, f = lower_head(level)
        upper = ti.min(lower + 1, H - 1)
        features = buffer(0)
        for l in range(first_level + (upper if f > 0 else lower) + 1):
            value = lookup(p, scene.table, scene.grid_levels, l)
            for c in ti.static(range(F)):
                features[l * F + c] = value[c]
        e = head(lower, features, scene.weights, scene.head_begin)
        sigma, rgb = density(e[0]), _vec3(0)
        if ti.static(spec.blend_colors):
            rgb = color(lower, e, basis, scene.weights, scene.color_begin)
            if f > 0:
                # Not into `e`: what is assigned in a branch to a vector read before it gets lost.
                finer = head(upper, features, scene.weights, scene.head_begin)
                sigma += f * (density(finer[0]) - sigma)
                rgb += f * (color(upper, finer, basis, scene.weights, scene.color_begin) - rgb)
        else:
            if f > 0:
                e += f * (head(upper, features, scene.weights, scene.head_begin) - e)
                sigma = density(e[0])
            rgb = color(0, e, basis, scene.weights, scene.color_begin)
        return sigma, rgb

    # ---- levels -----------------------------------------------------------------------------

    @ti.func
    def lower_head(level):
        """The lower of a level's two heads and the share of the upper; see `split_level`."""
        x = ti.math.clamp(level, 0, H - 1)
        lower = ti.floor(x)
        f = x - lower
        if ti.static(not spec.linear):
            # The nearest head, and of two as near the even one, as torch rounds.
            is_odd = ti.cast(lower, ti.i32) % 2 == 1
            lower += ti.select(f > 0.5 or (f == 0.5 and is_odd), 1.0, 0.0)
            f = 0.0
        return ti.cast(lower, ti.i32), f

    @ti.func
    def level_of(area, log_size, knots: ti.template()):
        """See `pyramid.get_pyramid_level`."""
        level = 0.0
        if ti.static(H > 1):
            wanted = log_size - 0.5 * ti.log(ti.max(area, 1e-30)) / ti.log(2.0)
            l = 0
            while l < H - 2 and wanted > knots[l + 1]:
                l += 1
            level = l + (wanted - knots[l]) / (knots[l + 1] - knots[l])
        return ti.math.clamp(level, 0, H - 1)

    @ti.func
    def trained_level(p, level, level_min: ti.template(), level_max: ti.template()):
        """The level clamped to those trained at p, if any were; see `occupancy.TrainedLevels`."""
        g = ti.math.clamp(ti.cast(p * G, ti.i32), 0, G - 1)
        cell = (g[0] * G + g[1]) * G + g[2]
        low, high = level_min[cell], level_max[cell]
        return ti.math.clamp(level, low, high) if low <= high else level

    # ---- rays -------------------------------------------------------------------------------

    @ti.kernel
    def render(
        rays_o: ti.types.ndarray(_vec3, 1),
        rays_d: ti.types.ndarray(_vec3, 1),
        dirs: ti.types.ndarray(_vec3, 1),
        pixel_areas: floats,
        bounds: ti.types.ndarray(ti.f32, 2),
        step_size: ti.f32,
        early_stop_eps: ti.f32,
        log_size: ti.f32,
        fixed_level: ti.f32,
        occupied: flags,
        blocks: flags,
        level_min: floats,
        level_max: floats,
        knots: floats,
        table: ti.types.ndarray(ti.types.vector(F, ti.f32), 1),
        grid_levels: ti.types.ndarray(ti.i32, 2),
        weights: floats,
        head_begin: ti.types.ndarray(ti.i32, 1),
        color_begin: ti.types.ndarray(ti.i32, 1),
        sums: ti.types.ndarray(ti.types.vector(6, ti.f32), 1),
    ):
        scene = ti.static(
            Scene(
                occupied, blocks, level_min, level_max, knots, table, grid_levels, weights,
                head_begin, color_begin,
            )
        )  # fmt: skip
        for r in range(rays_o.shape[0]):
            o, d = rays_o[r], rays_d[r]
            inverse_d, basis = inverse_of(d), basis_of(dirs[r])
            t, t_exit = enter_exit(o, inverse_d, bounds[r, 0], bounds[r, 1])
            t += 0.5 * step_at(t, 0.0, step_size)
            total, trans, found = ti.types.vector(6, ti.f32)(0), 1.0, 1
            while found == 1 and trans >= early_stop_eps:
                t, dt, found = seek(o, d, inverse_d, t, t_exit, occupied, blocks, 0.0, step_size)
                if found == 1:
                    t_mid = t + 0.5 * dt
                    p = ti.math.clamp(o + t_mid * d, 0.0, 1.0)
                    level = fixed_level
                    if fixed_level < 0:
                        level = level_of(pixel_areas[r] * t_mid * t_mid, log_size, knots)
                        level = trained_level(p, level, level_min, level_max)
                    sigma, rgb = field(p, basis, level, scene)
                    passed = trans * ti.exp(-sigma * dt)
                    weight = trans * (1 - ti.exp(-sigma * dt))
                    if passed < early_stop_eps:  # the ray ends, as in `composite`
                        weight = trans - early_stop_eps
                    for c in ti.static(range(3)):
                        total[c] += weight * rgb[c]
                    total[3] += weight
                    total[4] += weight * t_mid
                    total[5] += weight * level
                    trans = passed
                    t += dt
            sums[r] = total

    return render
