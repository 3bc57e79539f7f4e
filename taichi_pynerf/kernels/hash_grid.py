"""The multi-resolution hash grid: trilinear look-ups in a table of features, level by level.

Müller et al., "Instant Neural Graphics Primitives with a Multiresolution Hash Encoding",
SIGGRAPH 2022, section 3. For each level `l` of resolution `N_l` and a position `x` in [0, 1]^3:

    p = N_l x,   g = floor(p),   f = p - g
    feature_l(x) = sum over the 8 corners c of  w_c(f) * table[index_l(g + c)]
    w_c(f) = prod_d (f_d if c_d else 1 - f_d)

A level whose (N_l + 1)^3 vertices fit its share of the table is indexed densely, else hashed.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import taichi as ti

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.kernels.launch import Kernel, kernel

PRIMES = (1, 2654435761, 805459861)  # instant-ngp, eq. 4
MAX_NUMBERS = 2**31 - 1  # greatest size of a table, as kernels index it with signed 32 bits
BLOCK = 256  # samples per task: enough to pay for its overhead, few enough to divide small batches
RUN = 8  # samples whose cotangents one thread adds up, where threads are many


@dataclass(frozen=True)
class HashGridSpec:
    """The shape of a hash grid. It is hashable, and the key of the grid's compiled kernels.

    Args:
        resolutions: cells along each axis, one number per level.
        features_per_level: features stored in each table entry.
        hash_table_size: greatest number of entries per level; a power of two.
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
        numbers = self.num_entries * self.features_per_level
        if numbers > MAX_NUMBERS:
            raise ConfigError(
                f"the hash grid has {numbers:,} numbers, and kernels reach {MAX_NUMBERS:,}: lower "
                f"hash_table_size ({size:,}), features_per_level ({self.features_per_level}) or "
                f"num_levels ({self.num_levels})"
            )

    @property
    def num_levels(self) -> int:
        return len(self.resolutions)

    @property
    def num_features(self) -> int:
        return self.num_levels * self.features_per_level

    def dense(self, level: int) -> bool:
        """Whether every vertex of the level has its own entry."""
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

    lookup: Callable
    lookup_level: Callable
    scatter: Callable
    scatter_run: Callable
    gradient: Callable


@functools.cache
def hash_grid_functions(spec: HashGridSpec, dtype) -> HashGridFunctions:
    """The functions of which every kernel that reads or writes a grid is made.

    `lookup` gives the features of one level at a position. `scatter` adds a cotangent of these
    features to the entries that they came from, without atomics, and sets the entries' bits in
    `marks`. `scatter_run` does so for a run of samples with atomics, and first adds up in registers
    what successive samples give to one cell. `gradient` gives the cotangent of the position.

    A level is described by its resolution `n`, the `offset` of its first entry, and whether it
    `is_dense`. The last is known when a kernel is compiled, so that neither kind of level pays for
    the indices of the other. `lookup_level` finds the three in row l of `HashGridSpec.level_table`.

    No corner takes a branch, so that the compiler computes what corners share only once.
    """
    hash_mask = spec.hash_table_size - 1
    point = ti.types.vector(3, dtype)
    feature = ti.types.vector(spec.features_per_level, dtype)

    @ti.func
    def locate(x, n):
        """The cell of a position, and the place within the cell."""
        p = x * n
        g = ti.math.clamp(ti.cast(ti.floor(p), ti.i32), 0, n - 1)
        return g, p - ti.cast(g, dtype)

    @ti.func
    def vertices(g, n, is_dense: ti.template()):
        """Contributions of the lower and upper coordinates of cell g to its corners' indices."""
        side = ti.cast(n + 1, ti.u32)
        y = side if ti.static(is_dense) else ti.u32(PRIMES[1])
        z = side * side if ti.static(is_dense) else ti.u32(PRIMES[2])
        cell = ti.cast(g, ti.u32)
        low = ti.Vector([cell[0], cell[1] * y, cell[2] * z])
        return low, low + ti.Vector([ti.u32(1), y, z])

    @ti.func
    def entry(c: ti.template(), low, high, offset, is_dense: ti.template()):
        i = high[0] if ti.static(c & 1) else low[0]
        j = high[1] if ti.static(c >> 1 & 1) else low[1]
        k = high[2] if ti.static(c >> 2 & 1) else low[2]
        index = i + j + k if ti.static(is_dense) else (i ^ j ^ k) & ti.u32(hash_mask)
        return offset + ti.cast(index, ti.i32)

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
    def lookup(x, table: ti.template(), n, offset, is_dense: ti.template()):
        g, f = locate(x, n)
        low, high = vertices(g, n, is_dense)
        value = feature(0)
        for c in ti.static(range(8)):
            value += weight(c, f) * table[entry(c, low, high, offset, is_dense)]
        return value

    @ti.func
    def lookup_level(x, table: ti.template(), levels: ti.template(), l):
        n, offset, is_dense = levels[l, 0], levels[l, 1], levels[l, 2]
        value = feature(0)
        if is_dense == 1:
            value = lookup(x, table, n, offset, True)
        else:
            value = lookup(x, table, n, offset, False)
        return value

    @ti.func
    def scatter(
        x,
        grad,
        grad_table: ti.template(),
        n,
        offset,
        is_dense: ti.template(),
        marks: ti.template(),
    ):
        g, f = locate(x, n)
        low, high = vertices(g, n, is_dense)
        for c in ti.static(range(8)):
            e = entry(c, low, high, offset, is_dense)
            # Written out: `+=` and `|=` would be atomic.
            grad_table[e] = grad_table[e] + weight(c, f) * grad
            marks[e >> 3] = marks[e >> 3] | ti.cast(1 << (e & 7), ti.u8)

    @ti.func
    def add_to_corners(g, sums, grad_table: ti.template(), n, offset, is_dense: ti.template()):
        low, high = vertices(g, n, is_dense)
        for c in ti.static(range(8)):
            corner = feature(0)
            for k in ti.static(range(spec.features_per_level)):
                corner[k] = sums[c, k]
            grad_table[entry(c, low, high, offset, is_dense)] += corner

    @ti.func
    def scatter_run(
        positions: ti.template(),
        grad_features: ti.template(),
        l,
        first,
        last,
        grad_table: ti.template(),
        n,
        offset,
        is_dense: ti.template(),
    ):
        cell = ti.Vector([-1, -1, -1])
        sums = ti.Matrix.zero(dtype, 8, spec.features_per_level)
        for i in range(first, last):
            grad = grad_features[i, l]
            if (grad != 0).any():  # so what no light reaches costs nothing
                g, f = locate(positions[i], n)
                if (g != cell).any():
                    if cell[0] >= 0:
                        add_to_corners(cell, sums, grad_table, n, offset, is_dense)
                    cell = g
                    sums.fill(0)
                for c in ti.static(range(8)):
                    w = weight(c, f)
                    for k in ti.static(range(spec.features_per_level)):
                        sums[c, k] += w * grad[k]
        if cell[0] >= 0:
            add_to_corners(cell, sums, grad_table, n, offset, is_dense)

    @ti.func
    def gradient(x, grad, table: ti.template(), n, offset, is_dense: ti.template()):
        g, f = locate(x, n)
        low, high = vertices(g, n, is_dense)
        total = point(0)
        for c in ti.static(range(8)):
            value = table[entry(c, low, high, offset, is_dense)]
            total += n * grad.dot(value) * weight_gradient(c, f)
        return total

    return HashGridFunctions(lookup, lookup_level, scatter, scatter_run, gradient)


class HashGridKernels(NamedTuple):
    encode: Kernel
    encode_blocks: Kernel
    encode_adjoint_table: Kernel
    encode_adjoint_table_atomic: Kernel
    encode_adjoint_positions: Kernel


@functools.cache
def hash_grid_kernels(spec: HashGridSpec, dtype) -> HashGridKernels:
    """Compile the encoding and its written adjoints for one grid and one float type.

    Samples are processed level by level, so that the entries of one level stay in the processor's
    cache. The encoding comes in two forms. `encode` runs one thread per sample and level, for
    devices with thousands of threads; `encode.grad`, Taichi's own derivative, defines the gradient.
    `encode_blocks`, for the few threads of a processor, determines the kind of level once per block
    of samples.

    The written adjoints give the same result as `encode.grad`. There are two for the table. One
    runs one thread per level, so that no two threads add to the same entry. It needs no atomics,
    and its sums have a fixed order. It is fastest with about as many threads as levels. It also
    marks the entries; levels begin at whole bytes of marks (`HashGridSpec.level_sizes`). The other
    adjoint runs one thread per level and `RUN` samples and adds atomically, for devices with
    thousands of threads. On coarse levels, where most threads would meet at few entries, successive
    samples of a ray are mostly in one cell, and are added once.
    """
    num_levels = spec.num_levels
    point = ti.types.vector(3, dtype)
    feature = ti.types.vector(spec.features_per_level, dtype)
    lookup, lookup_level, scatter, scatter_run, gradient = hash_grid_functions(spec, dtype)

    @ti.func
    def num_blocks(num_samples):
        return (num_samples + BLOCK - 1) // BLOCK

    @kernel
    def encode(
        positions: ti.types.ndarray(point, 1),
        table: ti.types.ndarray(feature, 1),
        levels: ti.types.ndarray(ti.i32, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        features: ti.types.ndarray(feature, 2),
    ):
        for l, i in ti.ndrange(num_levels, positions.shape[0]):
            value = feature(0)
            if i >= level_begin[l]:
                value = lookup_level(positions[i], table, levels, l)
            features[i, l] = value

    @kernel
    def encode_blocks(
        positions: ti.types.ndarray(point, 1),
        table: ti.types.ndarray(feature, 1),
        levels: ti.types.ndarray(ti.i32, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        features: ti.types.ndarray(feature, 2),
    ):
        for t in range(num_levels * num_blocks(positions.shape[0])):
            l = t // num_blocks(positions.shape[0])
            first = t % num_blocks(positions.shape[0]) * BLOCK
            last = ti.min(first + BLOCK, positions.shape[0])
            begin = ti.math.clamp(level_begin[l], first, last)
            n, offset, is_dense = levels[l, 0], levels[l, 1], levels[l, 2]
            for i in range(first, begin):
                features[i, l] = feature(0)
            if is_dense == 1:
                for i in range(begin, last):
                    features[i, l] = lookup(positions[i], table, n, offset, True)
            else:
                for i in range(begin, last):
                    features[i, l] = lookup(positions[i], table, n, offset, False)

    @kernel
    def encode_adjoint_table(
        positions: ti.types.ndarray(point, 1),
        grad_features: ti.types.ndarray(feature, 2),
        levels: ti.types.ndarray(ti.i32, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        grad_table: ti.types.ndarray(feature, 1),
        marks: ti.types.ndarray(ti.u8, 1),
    ):
        ti.loop_config(block_dim=1)  # a level is a task: Taichi would give one thread several
        for m in range(num_levels):
            l = num_levels - 1 - m  # the finest, hashed levels take longest: start them first
            n, offset, is_dense = levels[l, 0], levels[l, 1], levels[l, 2]
            begin, end = level_begin[l], positions.shape[0]
            if is_dense == 1:
                for i in range(begin, end):
                    grad = grad_features[i, l]
                    scatter(positions[i], grad, grad_table, n, offset, True, marks)
            else:
                for i in range(begin, end):
                    grad = grad_features[i, l]
                    scatter(positions[i], grad, grad_table, n, offset, False, marks)

    @kernel
    def encode_adjoint_table_atomic(
        positions: ti.types.ndarray(point, 1),
        grad_features: ti.types.ndarray(feature, 2),
        levels: ti.types.ndarray(ti.i32, 2),
        level_begin: ti.types.ndarray(ti.i32, 1),
        grad_table: ti.types.ndarray(feature, 1),
    ):
        num_samples = positions.shape[0]
        for l, run in ti.ndrange(num_levels, (num_samples + RUN - 1) // RUN):
            first = ti.max(run * RUN, level_begin[l])
            last = ti.min(run * RUN + RUN, num_samples)
            n, offset, is_dense = levels[l, 0], levels[l, 1], levels[l, 2]
            if is_dense == 1:
                scatter_run(positions, grad_features, l, first, last, grad_table, n, offset, True)
            else:
                scatter_run(positions, grad_features, l, first, last, grad_table, n, offset, False)

    @kernel
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
                    grad = grad_features[i, l]
                    if is_dense == 1:
                        total += gradient(positions[i], grad, table, n, offset, True)
                    else:
                        total += gradient(positions[i], grad, table, n, offset, False)
            grad_positions[i] = total

    return HashGridKernels(
        encode,
        encode_blocks,
        encode_adjoint_table,
        encode_adjoint_table_atomic,
        encode_adjoint_positions,
    )
