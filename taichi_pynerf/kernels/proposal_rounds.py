"""The rounds of a small density field along rays, which say where their samples should fall.

Mip-NeRF 360 (Barron et al. 2022, section 3.1). A round draws S intervals from the histogram of the
round before, asks the small field in the middle of each, and composites:

    depth_s = sigma_s * length_s,    weight_s = exp(-sum_(r < s) depth_r) * (1 - exp(-depth_s))

Each weight becomes the mean of its maxima with either neighbour (Mip-NeRF, section 3.2) before the
next round draws from it. All rounds of a ray are one thread's work: nothing of them is kept but
the borders that were drawn last. In cells of the field's cube that are ruled out, sigma is 0.
"""

import functools
from dataclasses import dataclass

import taichi as ti

from taichi_pynerf.kernels.hash_grid import HashGridSpec, hash_grid_functions
from taichi_pynerf.kernels.launch import Kernel, kernel
from taichi_pynerf.kernels.proposals import interval_functions

OPAQUE = 16.0  # optical depth behind which weights, below 2e-7, count as 0
LARGEST_LOGIT = 15.0  # of a density, as in `model.field.truncated_exp`


@dataclass(frozen=True)
class SmallField:
    """The shape of the small field. It is hashable, and a key of its compiled kernels.

    Args:
        spec: its hash grid.
        hidden_dim: width of its network, which has one hidden layer.
        unbounded: whether space is contracted around the scene box.
    """

    spec: HashGridSpec
    hidden_dim: int
    unbounded: bool


@functools.cache
def proposal_rounds_kernel(field: SmallField, dtype) -> Kernel:
    """Compile the rounds for one small field and one float type."""
    spec, num_features = field.spec, field.spec.features_per_level
    point = ti.types.vector(3, dtype)
    feature = ti.types.vector(num_features, dtype)
    hidden_units = ti.types.vector(field.hidden_dim, dtype)
    floats = ti.types.ndarray(dtype, 2)
    distance, middle = interval_functions(field.unbounded, dtype)
    lookup = hash_grid_functions(spec, dtype).lookup

    @ti.func
    def density(x, table: ti.template(), inner: ti.template(), outer: ti.template()):
        features = ti.Vector.zero(dtype, spec.num_features)
        for l in ti.static(range(spec.num_levels)):
            n, offset = ti.static(spec.resolutions[l], spec.level_offsets[l])
            found = lookup(x, table, n, offset, ti.static(spec.dense(l)))
            for c in ti.static(range(num_features)):
                features[l * num_features + c] = found[c]
        units = hidden_units(0)
        for c in ti.static(range(spec.num_features)):
            units += features[c] * inner[c]
        return ti.exp(ti.min(outer[0].dot(ti.max(units, 0)), LARGEST_LOGIT))

    @ti.func
    def is_ruled_out(x, cells: ti.template(), resolution):
        g = ti.math.clamp(ti.cast(ti.floor(x * resolution), ti.i32), 0, resolution - 1)
        return cells[(g[0] * resolution + g[1]) * resolution + g[2]] != 0

    @ti.func
    def widened(weights: ti.template(), r, b, num_bins):
        own = weights[r, b]
        before = ti.max(weights[r, ti.max(b - 1, 0)], own)
        after = ti.max(weights[r, ti.min(b + 1, num_bins - 1)], own)
        return (before + after) / 2

    @ti.func
    def draw(
        borders: ti.template(),
        weights: ti.template(),
        drawn: ti.template(),
        r,
        num_bins,
        offset,
        explore,
        padding,
    ):
        """See `reference.proposal_rounds.draw_borders`."""
        total = ti.cast(0, dtype)
        for b in range(num_bins):
            total += widened(weights, r, b, num_bins)
        to_share = (1 - explore) / ti.max(total, 1e-8)
        first, last = borders[r, 0], borders[r, num_bins]
        to_even = explore / ti.max(last - first, 1e-12)
        total = ti.cast(0, dtype)
        for b in range(num_bins):
            share = to_share * widened(weights, r, b, num_bins)
            total += share + to_even * (borders[r, b + 1] - borders[r, b]) + padding

        num_drawn = drawn.shape[1] - 1
        drawn[r, 0], drawn[r, num_drawn] = first, last
        b = -1
        below, mass = ti.cast(0, dtype), ti.cast(0, dtype)  # of the bins before b, and of b
        for s in range(num_drawn - 1):
            target = (s + offset) / (num_drawn - 1) * total
            while b < 0 or (b < num_bins - 1 and below + mass <= target):
                b += 1
                below += mass
                share = to_share * widened(weights, r, b, num_bins)
                mass = share + to_even * (borders[r, b + 1] - borders[r, b]) + padding
            inside = ti.math.clamp((target - below) / mass, 0, 1)
            drawn[r, s + 1] = borders[r, b] + inside * (borders[r, b + 1] - borders[r, b])

    @kernel
    def proposal_rounds(
        rays_o: ti.types.ndarray(point, 1),
        rays_d: ti.types.ndarray(point, 1),
        ends: floats,
        offsets: ti.types.ndarray(dtype, 1),
        table: ti.types.ndarray(feature, 1),
        inner: ti.types.ndarray(hidden_units, 1),
        outer: ti.types.ndarray(hidden_units, 1),
        ruled_out: ti.types.ndarray(ti.u8, 1),
        ruled_out_resolution: ti.i32,
        num_rounds: ti.i32,
        turn: dtype,
        explore: dtype,
        padding: dtype,
        size: dtype,
        borders: floats,
        drawn: floats,
        weights: floats,
        samples: floats,
    ):
        for r in range(rays_o.shape[0]):
            borders[r, 0], borders[r, 1] = ends[r, 0], ends[r, 1]
            weights[r, 0] = 1
            num_bins = 1
            for k in range(num_rounds):
                offset = offsets[r] + (k + 1) * turn
                offset -= ti.floor(offset)
                draw(borders, weights, drawn, r, num_bins, offset, explore, padding)
                num_bins = weights.shape[1]
                depth_before = ti.cast(0, dtype)
                borders[r, 0] = drawn[r, 0]
                end = distance(drawn[r, 0], size)
                for s in range(num_bins):
                    borders[r, s + 1] = drawn[r, s + 1]
                    begin = end
                    end = distance(drawn[r, s + 1], size)
                    weight = ti.cast(0, dtype)
                    if depth_before < OPAQUE:
                        x, length = middle(rays_o[r], rays_d[r], begin, end, size)
                        if not is_ruled_out(x, ruled_out, ruled_out_resolution):
                            depth = density(x, table, inner, outer) * length
                            weight = ti.exp(-depth_before) * (1 - ti.exp(-depth))
                            depth_before += depth
                    weights[r, s] = weight
            draw(borders, weights, samples, r, num_bins, offsets[r], explore, padding)

    return proposal_rounds
