"""The multi-resolution hash grid: trilinear look-ups in a table of features, level by level.

Müller et al., "Instant Neural Graphics Primitives with a Multiresolution Hash Encoding",
SIGGRAPH 2022, section 3. For each level `l` of resolution `N_l` and a position `x` in [0, 1]^3:

    p = N_l x,   g = floor(p),   f = p - g
    feature_l(x) = sum over the 8 corners c of  w_c(f) * table[index_l(g + c)]
    w_c(f) = prod_d (f_d if c_d else 1 - f_d)

A level whose (N_l + 1)^3 vertices fit its share of the table is indexed densely, else hashed.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import taichi as ti

PRIMES = (1, 2654435761, 805459861)  # instant-ngp, eq. 4


@dataclass(frozen=True)
class HashGridSpec:
    """What a hash grid looks like; hashable, so it is the key of its compiled kernels.

    Args:
        resolutions: cells along each axis, one number per level.
        features_per_level: features stored in each table entry.
        hash_table_size: entries per level at most; a power of two.
    """

    resolutions: tuple[int, ...]
    features_per_level: int
    hash_table_size: int

    def __post_init__(self):
        if not self.resolutions or min(self.resolutions) < 1:
            raise ValueError(f"resolutions must be positive, got {self.resolutions}")
        if self.features_per_level < 1:
            raise ValueError(f"features_per_level must be positive, got {self.features_per_level}")
        size = self.hash_table_size
        if size < 8 or size & (size - 1):
            raise ValueError(f"hash_table_size must be a power of two from 8 on, got {size}")

    @property
    def num_levels(self) -> int:
        return len(self.resolutions)

    @property
    def num_features(self) -> int:
        return self.num_levels * self.features_per_level

    def dense(self, level: int) -> bool:
        """Whether every vertex of the level has an entry of its own."""
        return (self.resolutions[level] + 1) ** 3 <= self.hash_table_size

    @property
    def level_sizes(self) -> tuple[int, ...]:
        return tuple(
            -(-((n + 1) ** 3) // 8) * 8 if self.dense(level) else self.hash_table_size
            for level, n in enumerate(self.resolutions)
        )

    @property
    def level_offsets(self) -> tuple[int, ...]:
        sizes = self.level_sizes
        return tuple(sum(sizes[:level]) for level in range(len(sizes)))

    @property
    def num_entries(self) -> int:
        return sum(self.level_sizes)


class HashGridFunctions(NamedTuple):
    """Taichi functions that kernels share; see `hash_grid_functions`."""

    locate: object
    entry: object
    weight: object
    weight_gradient: object
    lookup: object


@functools.cache
def hash_grid_functions(spec: HashGridSpec, dtype) -> HashGridFunctions:
    """What every kernel that reads or writes one grid is made of.

    `locate` finds a position's cell of level l and its place in it, `entry` the table entry of the
    cell's corner c, `weight` the corner's share and `weight_gradient` its derivative by that place;
    `lookup` puts them together to the features of one level. Level and corner are known when a
    kernel is compiled: it holds the level's numbers, and computes once what corners share.
    """
    feature = ti.types.vector(spec.features_per_level, dtype)

    @ti.func
    def locate(l: ti.template(), x):
        n = ti.static(spec.resolutions[l])
        p = x * n
        g = ti.math.clamp(ti.cast(ti.floor(p), ti.i32), 0, n - 1)
        return g, p - ti.cast(g, dtype)

    @ti.func
    def entry(l: ti.template(), c: ti.template(), g):
        vertex = g + ti.Vector([c & 1, c >> 1 & 1, c >> 2 & 1])
        index = 0
        if ti.static(spec.dense(l)):
            side = ti.static(spec.resolutions[l] + 1)
            index = vertex[0] + side * vertex[1] + side * side * vertex[2]
        else:
            v = ti.cast(vertex, ti.u32)
            hashed = v[0] * ti.u32(PRIMES[0]) ^ v[1] * ti.u32(PRIMES[1]) ^ v[2] * ti.u32(PRIMES[2])
            index = ti.cast(hashed & ti.u32(spec.hash_table_size - 1), ti.i32)
        return ti.static(spec.level_offsets[l]) + index

    @ti.func
    def factor(c: ti.template(), d: ti.template(), f):
        return f[d] if ti.static(c >> d & 1) else 1 - f[d]

    @ti.func
    def weight(c: ti.template(), f):
        return factor(c, 0, f) * factor(c, 1, f) * factor(c, 2, f)

    @ti.func
    def weight_gradient(c: ti.template(), f):
        x, y, z = factor(c, 0, f), factor(c, 1, f), factor(c, 2, f)
        dx, dy, dz = ti.static(2 * (c & 1) - 1, 2 * (c >> 1 & 1) - 1, 2 * (c >> 2 & 1) - 1)
        return ti.Vector([dx * y * z, x * dy * z, x * y * dz])

    @ti.func
    def lookup(l: ti.template(), x, table: ti.template()):
        g, f = locate(l, x)
        value = feature(0)
        for c in ti.static(range(8)):
            value += weight(c, f) * table[entry(l, c, g)]
        return value

    return HashGridFunctions(locate, entry, weight, weight_gradient, lookup)


class HashGridKernels(NamedTuple):
    encode: object
    encode_adjoint_table: object
    encode_adjoint_table_atomic: object
    encode_adjoint_positions: object


@functools.cache
def hash_grid_kernels(spec: HashGridSpec, dtype) -> HashGridKernels:
    """Compile the encoding and its written adjoints for one grid and one float type.

    `encode.grad` is Taichi's own derivative and the definition of the gradient. The written
    adjoints give the same. There are two for the table. One runs one thread per level, so that no
    two threads add to one entry; it needs no atomics and its sums have one fixed order: fastest
    where there are about as many threads as levels. The other runs one thread per sample and level
    and adds atomically, for devices with thousands of threads.

    Samples go level by level: what is read of the table meanwhile is one level of it, which fits
    caches that the whole does not.
    """
    num_levels = spec.num_levels
    point = ti.types.vector(3, dtype)
    feature = ti.types.vector(spec.features_per_level, dtype)
    locate, entry, weight, weight_gradient, lookup = hash_grid_functions(spec, dtype)

    @ti.kernel
    def encode(
        positions: ti.types.ndarray(point, 1),
        table: ti.types.ndarray(feature, 1),
        level_begin: ti.types.ndarray(ti.i32, 1),
        features: ti.types.ndarray(feature, 2),
    ):
        for l in ti.static(range(num_levels)):
            for i in range(positions.shape[0]):
                value = feature(0)
                if i >= level_begin[l]:
                    value = lookup(l, positions[i], table)
                features[i, l] = value

    @ti.kernel
    def encode_adjoint_table(
        positions: ti.types.ndarray(point, 1),
        grad_features: ti.types.ndarray(feature, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        grad_table: ti.types.ndarray(feature, 1),
    ):
        ti.loop_config(block_dim=1)  # a level is one task
        for m in range(num_levels):
            # The finest, hashed levels take longest: they start first.
            for l in ti.static(range(num_levels)):
                if m == num_levels - 1 - l:
                    for i in range(level_begin[l], positions.shape[0]):
                        g, f = locate(l, positions[i])
                        grad = grad_features[i, l]
                        for c in ti.static(range(8)):
                            e = entry(l, c, g)
                            # Written out: `+=` would be an atomic addition.
                            grad_table[e] = grad_table[e] + weight(c, f) * grad

    @ti.kernel
    def encode_adjoint_table_atomic(
        positions: ti.types.ndarray(point, 1),
        grad_features: ti.types.ndarray(feature, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        grad_table: ti.types.ndarray(feature, 1),
    ):
        for l in ti.static(range(num_levels)):
            for i in range(positions.shape[0]):
                if i >= level_begin[l]:
                    g, f = locate(l, positions[i])
                    for c in ti.static(range(8)):
                        grad_table[entry(l, c, g)] += weight(c, f) * grad_features[i, l]

    @ti.kernel
    def encode_adjoint_positions(
        positions: ti.types.ndarray(point, 1),
        table: ti.types.ndarray(feature, 1),
        grad_features: ti.types.ndarray(feature, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        grad_positions: ti.types.ndarray(point, 1),
    ):
        for i in range(positions.shape[0]):
            total = point(0)
            for l in ti.static(range(num_levels)):
                if i >= level_begin[l]:
                    g, f = locate(l, positions[i])
                    for c in ti.static(range(8)):
                        slope = grad_features[i, l].dot(table[entry(l, c, g)])
                        total += ti.static(spec.resolutions[l]) * slope * weight_gradient(c, f)
            grad_positions[i] = total

    return HashGridKernels(
        encode, encode_adjoint_table, encode_adjoint_table_atomic, encode_adjoint_positions
    )
