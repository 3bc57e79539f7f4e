"""Rendering in one kernel: march, encode, evaluate the heads, composite, with a thread per ray.

A launch continues each ray by some samples; `ops.fused_render` launches until all rays have ended.
The result is that of `renderer.PyramidRenderer.render_rays`, which works on packed samples. Here a
sample never leaves its thread. Nothing is sorted, gathered or stored in between, a ray ends as soon
as it is opaque, and the device needs no torch. Apart from the networks, the parts are the functions
of the other kernels.

The networks are stacks of matrices without bias and with ReLU between them (`heads.mlp`). All
matrices lie one after the other in one array of tiles, with a row of outputs per input. The kernel
reads their places from a table. So it has two loops over layers instead of the code of every layer,
which drivers take long to compile.
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import taichi as ti

from taichi_pynerf.kernels.hash_grid import HashGridSpec, hash_grid_functions
from taichi_pynerf.kernels.launch import Kernel, kernel
from taichi_pynerf.kernels.ray_march import inverse_of, march_functions
from taichi_pynerf.kernels.spherical_harmonics import (
    NUM_COEFFICIENTS,
    spherical_harmonics_function,
)

NOT_BEGUN, ENDED = -1e30, 1e30  # special values of a ray's `t_next`
TILE = 16  # outputs of a layer that are summed side by side

_vec2, _vec3 = ti.types.vector(2, ti.f32), ti.types.vector(3, ti.f32)


@dataclass(frozen=True)
class FusedSpec:
    """The constants for which the kernel is compiled.

    Args:
        grid: the feature grid, shared by all heads.
        num_heads: number of heads of the pyramid; a single head sees the whole grid.
        num_outputs: outputs of a density head; the first gives the density.
        head_layers, color_layers: number of matrices of a density head and of a colour network.
        widest: greatest number of inputs or outputs of a matrix.
        blend_colors: blend densities and colours of two colour networks, not embeddings.
        linear: blend two heads; otherwise use only the nearest.
        occupancy_resolution, block: the occupancy grid, see `march_functions`.
        levels_resolution: cells of the grid of trained levels along each axis.
    """

    grid: HashGridSpec
    num_heads: int
    num_outputs: int
    head_layers: int
    color_layers: int
    widest: int
    blend_colors: bool
    linear: bool
    occupancy_resolution: int
    block: int
    levels_resolution: int


def tiles_of(width: int) -> int:
    """Number of tiles for a row of `width` numbers."""
    return -(-width // TILE)


class SceneArrays(NamedTuple):
    """The kernel's arrays that are the same for all rays, in order."""

    occupied: Any
    blocks: Any
    level_min: Any
    level_max: Any
    knots: Any
    table: Any
    grid_levels: Any
    layers: Any
    weights: Any


@functools.cache
def fused_render_kernel(spec: FusedSpec) -> Kernel:
    """Compile the renderer of one model."""
    F, H = spec.grid.features_per_level, spec.num_heads
    first_level = spec.grid.num_levels - H  # grid levels below the first head's own
    num_out, W = spec.num_outputs, tiles_of(spec.widest) * TILE
    G = spec.levels_resolution
    buffer = ti.types.vector(2 * W, ti.f32)  # what a layer reads, and what it writes
    tile = ti.types.vector(TILE, ti.f32)
    embedding = ti.types.vector(num_out, ti.f32)
    all_features = ti.types.vector(spec.grid.num_features, ti.f32)
    lookup_level = hash_grid_functions(spec.grid, ti.f32).lookup_level
    step_at, enter_exit, seek = march_functions(spec.occupancy_resolution, 1, spec.block)
    basis_of = spherical_harmonics_function(ti.f32)
    floats, flags = ti.types.ndarray(ti.f32, 1), ti.types.ndarray(ti.u8, 1)

    # ---- networks ---------------------------------------------------------------------------

    @ti.func
    def network(x: ti.template(), first, num_layers, layers: ti.template(), weights: ti.template()):
        """Run layers on the first numbers of x. Returns the place in x where the result begins."""
        source = 0
        for m in range(first, first + num_layers):
            fan_in, num_tiles, begin = layers[m][0], layers[m][1], layers[m][2]
            least = 0.0 if layers[m][3] == 1 else -1e30
            target = W - source
            for i in range(num_tiles):
                total = tile(0)
                for k in range(fan_in):
                    total += x[source + k] * weights[begin + k * num_tiles + i]
                for j in ti.static(range(TILE)):
                    x[target + i * TILE + j] = ti.max(total[j], least)
            source = target
        return source

    @ti.func
    def head(h, features: ti.template(), x: ti.template(), scene: ti.template()):
        """Run density head h. Returns the place in x where its outputs begin."""
        for k in range((first_level + h + 1) * F):
            x[k] = features[k]
        first = h * spec.head_layers
        return network(x, first, spec.head_layers, scene.layers, scene.weights)

    @ti.func
    def color(h, e, basis, x: ti.template(), scene: ti.template()):
        for j in ti.static(range(num_out)):
            x[j] = e[j]
        for j in ti.static(range(NUM_COEFFICIENTS)):
            x[num_out + j] = basis[j]
        first = H * spec.head_layers + h * spec.color_layers
        at = network(x, first, spec.color_layers, scene.layers, scene.weights)
        return 1 / (1 + ti.exp(-_vec3(x[at], x[at + 1], x[at + 2])))

    @ti.func
    def density(logit):
        return ti.exp(ti.min(logit, 15.0))  # field.truncated_exp

    @ti.func
    def field(p, basis, level, scene: ti.template()):
        """Density and colour of one sample; see `field.PyramidField`."""
        lower, f = lower_head(level)
        num_heads = 2 if f > 0 else 1
        features, x = all_features(0), buffer(0)
        for l in range(first_level + lower + num_heads):
            value = lookup_level(p, scene.table, scene.grid_levels, l)
            for c in ti.static(range(F)):
                features[l * F + c] = value[c]
        blended, sigma, rgb = embedding(0), 0.0, _vec3(0)
        for i in range(num_heads):
            share = f if i == 1 else 1 - f
            at = head(lower + i, features, x, scene)
            e = embedding(0)
            for j in ti.static(range(num_out)):
                e[j] = x[at + j]
            if ti.static(spec.blend_colors):
                sigma += share * density(e[0])
                rgb += share * color(lower + i, e, basis, x, scene)
            else:
                blended += share * e
        if ti.static(not spec.blend_colors):
            sigma, rgb = density(blended[0]), color(0, blended, basis, x, scene)
        return sigma, rgb

    # ---- levels -----------------------------------------------------------------------------

    @ti.func
    def lower_head(level):
        """The lower of a level's two heads and the share of the upper; see `split_level`."""
        x = ti.math.clamp(level, 0, H - 1)
        lower = ti.floor(x)
        f = x - lower
        if ti.static(not spec.linear):
            # The nearest head; of two equally near ones the even one, as in torch's rounding.
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

    @kernel
    def render(
        rays_o: ti.types.ndarray(_vec3, 1),
        rays_d: ti.types.ndarray(_vec3, 1),
        dirs: ti.types.ndarray(_vec3, 1),
        pixel_areas: floats,
        bounds: ti.types.ndarray(_vec2, 1),
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
        layers: ti.types.ndarray(ti.types.vector(4, ti.i32), 1),
        weights: ti.types.ndarray(tile, 1),
        max_samples: ti.i32,
        t_next: floats,
        sums: ti.types.ndarray(ti.types.vector(6, ti.f32), 1),
        num_alive: ti.types.ndarray(ti.i32, 1),
    ):
        """Add up to `max_samples` samples to each ray that has not ended, starting at `t_next`."""
        scene = ti.static(
            SceneArrays(
                occupied, blocks, level_min, level_max, knots, table, grid_levels, layers,
                weights,
            )
        )  # fmt: skip
        for r in range(rays_o.shape[0]):
            total, n = sums[r], 0
            trans = 1 - total[3]
            found = 1 if t_next[r] < ENDED and trans >= early_stop_eps else 0
            if found == 1:
                o, d = rays_o[r], rays_d[r]
                inverse_d, basis = inverse_of(d), basis_of(dirs[r])
                t, t_exit = enter_exit(o, inverse_d, bounds[r][0], bounds[r][1])
                # All rounds use the same lattice of steps.
                t = t_next[r] if t_next[r] > NOT_BEGUN else t + 0.5 * step_at(t, 0.0, step_size)
                while found == 1 and n < max_samples and trans >= early_stop_eps:
                    t, dt, found = seek(
                        o, d, inverse_d, t, t_exit, occupied, blocks, 0.0, step_size
                    )
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
                        n += 1
                sums[r] = total
                t_next[r] = t if found == 1 and trans >= early_stop_eps else ENDED
                if t_next[r] < ENDED:
                    num_alive[0] += 1

    return render
