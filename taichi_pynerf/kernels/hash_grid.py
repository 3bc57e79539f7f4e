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

    @property
    def level_table(self) -> list[list[int]]:
        """Rows (resolution, offset of the first entry, densely indexed?) for the kernels."""
        return [
            [n, offset, int(self.dense(level))]
            for level, (n, offset) in enumerate(
                zip(self.resolutions, self.level_offsets, strict=True)
            )
        ]


class HashGridFunctions(NamedTuple):
    """Taichi functions that kernels share; see `hash_grid_functions`."""

    locate: object
    vertices: object
    entry: object
    weight: object
    weight_gradient: object
    lookup: object


@functools.cache
def hash_grid_functions(spec: HashGridSpec, dtype) -> HashGridFunctions:
    """What every kernel that reads or writes one grid is made of.

    `locate` finds a position's cell and its place in it, `vertices` what the cell's lower and
    upper coordinates give to the indices of its corners, `entry` the table entry of corner c,
    `weight` the corner's share and `weight_gradient` its derivative by that place; `lookup` puts
    them together to the features of one level. Levels are rows of `HashGridSpec.level_table`.

    No corner takes a branch, so that what corners have in common is computed once.
    """
    hash_mask = spec.hash_table_size - 1
    feature = ti.types.vector(spec.features_per_level, dtype)

    @ti.func
    def locate(x, n):
        p = x * n
        g = ti.math.clamp(ti.cast(ti.floor(p), ti.i32), 0, n - 1)
        return g, p - ti.cast(g, dtype)

    @ti.func
    def vertices(g, n, is_dense):
        side = ti.cast(n + 1, ti.u32)
        y = ti.select(is_dense == 1, side, ti.u32(PRIMES[1]))
        z = ti.select(is_dense == 1, side * side, ti.u32(PRIMES[2]))
        cell = ti.cast(g, ti.u32)
        low = ti.Vector([cell[0], cell[1] * y, cell[2] * z])
        return low, low + ti.Vector([ti.u32(1), y, z])

    @ti.func
    def entry(c: ti.template(), low, high, offset, is_dense):
        i = high[0] if ti.static(c & 1) else low[0]
        j = high[1] if ti.static(c >> 1 & 1) else low[1]
        k = high[2] if ti.static(c >> 2 & 1) else low[2]
        hashed = (i ^ j ^ k) & ti.u32(hash_mask)
        return offset + ti.cast(ti.select(is_dense == 1, i + j + k, hashed), ti.i32)

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
    def lookup(x, table: ti.template(), levels: ti.template(), l):
        n, offset, is_dense = levels[l, 0], levels[l, 1], levels[l, 2]
        value = feature(0)
        g, f = locate(x, n)
        low, high = vertices(g, n, is_dense)
        for c in ti.static(range(8)):
            value += weight(c, f) * table[entry(c, low, high, offset, is_dense)]
        return value

    return HashGridFunctions(locate, vertices, entry, weight, weight_gradient, lookup)


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
    """
    num_levels = spec.num_levels
    point = ti.types.vector(3, dtype)
    feature = ti.types.vector(spec.features_per_level, dtype)
    locate, vertices, entry, weight, weight_gradient, lookup = hash_grid_functions(spec, dtype)

    @ti.kernel
    def encode(
        positions: ti.types.ndarray(point, 1),
        table: ti.types.ndarray(feature, 1),
        levels: ti.types.ndarray(ti.i32, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        features: ti.types.ndarray(feature, 2),
    ):
        for i in range(positions.shape[0]):
            for l in range(num_levels):
                value = feature(0)
                if i >= level_begin[l]:
                    value = lookup(positions[i], table, levels, l)
                features[i, l] = value

    @ti.kernel
    def encode_adjoint_table(
        positions: ti.types.ndarray(point, 1),
        grad_features: ti.types.ndarray(feature, 2),
        levels: ti.types.ndarray(ti.i32, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        grad_table: ti.types.ndarray(feature, 1),
    ):
        ti.loop_config(block_dim=1)  # a level is one task
        for m in range(num_levels):
            l = num_levels - 1 - m  # the finest, hashed levels take longest: start them first
            n, offset, is_dense = levels[l, 0], levels[l, 1], levels[l, 2]
            for i in range(level_begin[l], positions.shape[0]):
                g, f = locate(positions[i], n)
                low, high = vertices(g, n, is_dense)
                grad = grad_features[i, l]
                for c in ti.static(range(8)):
                    e = entry(c, low, high, offset, is_dense)
                    # Written out: `+=` would be an atomic addition.
                    grad_table[e] = grad_table[e] + weight(c, f) * grad

    @ti.kernel
    def encode_adjoint_table_atomic(
        positions: ti.types.ndarray(point, 1),
        grad_features: ti.types.ndarray(feature, 2),
        levels: ti.types.ndarray(ti.i32, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        grad_table: ti.types.ndarray(feature, 1),
    ):
        for i, l in ti.ndrange(positions.shape[0], num_levels):
            if i >= level_begin[l]:
                n, offset, is_dense = levels[l, 0], levels[l, 1], levels[l, 2]
                g, f = locate(positions[i], n)
                low, high = vertices(g, n, is_dense)
                for c in ti.static(range(8)):
                    e = entry(c, low, high, offset, is_dense)
                    grad_table[e] += weight(c, f) * grad_features[i, l]

    @ti.kernel
    def encode_adjoint_positions(
        positions: ti.types.ndarray(point, 1),
        table: ti.types.ndarray(feature, 1),
        grad_features: ti.types.ndarray(feature, 2),
        levels: ti.types.ndarray(ti.i32, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        grad_positions: ti.types.ndarray(point, 1),
    ):
        for i in range(positions.shape[0]):
            total = point(0)
            for l in range(num_levels):
                if i >= level_begin[l]:
                    n, offset, is_dense = levels[l, 0], levels[l, 1], levels[l, 2]
                    g, f = locate(positions[i], n)
                    low, high = vertices(g, n, is_dense)
                    for c in ti.static(range(8)):
                        value = table[entry(c, low, high, offset, is_dense)]
                        total += n * grad_features[i, l].dot(value) * weight_gradient(c, f)
            grad_positions[i] = total

    return HashGridKernels(
        encode, encode_adjoint_table, encode_adjoint_table_atomic, encode_adjoint_positions
    )
