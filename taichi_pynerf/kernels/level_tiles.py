"""Samples in tiles of one pyramid level each, and densities and colours back in their order.

A tile has as many places as a batched product of matrices has rows. The last tile of a level may
have places without a sample. A place `p` has a sample if `places[samples[p]] == p`; the others
repeat sample 0, and nothing that is computed there counts.
"""

import functools
from typing import NamedTuple

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel


class TileKernels(NamedTuple):
    """Kernels for one size of tiles and one float type."""

    split_levels: Kernel
    fill_tiles: Kernel


@functools.cache
def tile_kernels(tile: int, dtype) -> TileKernels:
    """Compile the kernels that sort samples into tiles of `tile` places."""
    floats, numbers = ti.types.ndarray(dtype, 1), ti.types.ndarray(ti.i32, 1)
    whole = ti.types.ndarray(ti.i64, 1)

    @ti.func
    def nearest(x):
        """The nearest whole number, of two the even one."""
        low = ti.floor(x)
        odd = ti.cast(low, ti.i32) % 2
        up = x - low > 0.5 or (x - low == 0.5 and odd == 1)
        return low + ti.select(up, ti.cast(1, dtype), ti.cast(0, dtype))

    @kernel
    def split_levels(
        levels: floats,
        num_levels: ti.i32,
        two_heads: ti.i32,
        lower: ti.types.ndarray(ti.u8, 1),
        fraction: floats,
    ):
        for i in range(levels.shape[0]):
            level = ti.math.clamp(levels[i], 0, ti.cast(num_levels - 1, dtype))
            below = ti.floor(level)
            if two_heads == 0:
                below = nearest(level)
                level = below
            lower[i] = ti.cast(below, ti.u8)
            fraction[i] = level - below

    @kernel
    def fill_tiles(
        sorted_levels: ti.types.ndarray(ti.u8, 1),
        order: whole,
        fraction: floats,
        bounds: numbers,
        begins: numbers,
        level_begin: numbers,
        tile_levels: whole,
        samples: whole,
        shares: ti.types.ndarray(dtype, 2),
        places: whole,
    ):
        num_rows, num_levels = order.shape[0], level_begin.shape[0]
        for row in range(num_rows + 1):  # bounds[l]: the first sorted row from level l on
            before, here = -1, num_levels
            if row > 0:
                before = ti.cast(sorted_levels[row - 1], ti.i32)
            if row < num_rows:
                here = ti.cast(sorted_levels[row], ti.i32)
            for level in range(before + 1, here + 1):
                bounds[level] = row
        ti.loop_config(serialize=True)
        for level in range(num_levels):  # begins[l]: the first tile of level l
            if level == 0:
                begins[0] = 0
            rows = bounds[level + 1] - bounds[level]
            begins[level + 1] = begins[level] + (rows + tile - 1) // tile
            lowest = level
            if shares.shape[1] == 2:  # the upper head reads one level more
                lowest = ti.max(level - 1, 0)
            level_begin[level] = tile * begins[lowest]
        for p in range(samples.shape[0]):
            level = 0
            while level < num_levels - 1 and begins[level + 1] <= p // tile:
                level += 1
            if p % tile == 0:
                tile_levels[p // tile] = level
            row = bounds[level] + p - tile * begins[level]
            sample = ti.cast(0, ti.i64)
            lower_share, upper_share = ti.cast(0, dtype), ti.cast(0, dtype)
            if row < bounds[level + 1]:
                sample = order[row]
                places[sample] = p
                upper_share = fraction[sample]
                lower_share = 1 - upper_share
            samples[p] = sample
            shares[p, 0] = lower_share
            if shares.shape[1] == 2:
                shares[p, 1] = upper_share

    return TileKernels(split_levels, fill_tiles)


class OutputKernels(NamedTuple):
    """The activations of the networks' outputs, and their adjoint."""

    activate: Kernel
    activate_adjoint: Kernel


@functools.cache
def output_kernels(max_logit: float, dtype) -> OutputKernels:
    """Compile the kernels for one bound of density logits.

    sigma = exp(min(code_0, max_logit)) and rgb = sigmoid(logits) of each sample. The derivative of
    sigma is sigma itself, also beyond the bound, so that such a density can fall again.
    """
    floats, rows = ti.types.ndarray(dtype, 1), ti.types.ndarray(dtype, 2)
    whole = ti.types.ndarray(ti.i64, 1)

    @kernel
    def activate(codes: rows, logits: rows, places: whole, sigmas: floats, rgbs: rows):
        for i in range(places.shape[0]):
            p = places[i]
            sigmas[i] = ti.exp(ti.min(codes[p, 0], ti.cast(max_logit, dtype)))
            for c in ti.static(range(3)):
                rgbs[i, c] = 1 / (1 + ti.exp(-logits[p, c]))

    @kernel
    def activate_adjoint(
        sigmas: floats,
        rgbs: rows,
        samples: whole,
        places: whole,
        grad_sigmas: floats,
        grad_rgbs: rows,
        grad_codes: rows,
        grad_logits: rows,
    ):
        for p in range(samples.shape[0]):
            i = samples[p]
            full = places[i] == p
            for c in range(grad_codes.shape[1]):
                grad_codes[p, c] = 0
            for c in ti.static(range(3)):
                grad_logits[p, c] = 0
            if full:
                grad_codes[p, 0] = grad_sigmas[i] * sigmas[i]
                for c in ti.static(range(3)):
                    grad_logits[p, c] = grad_rgbs[i, c] * rgbs[i, c] * (1 - rgbs[i, c])

    return OutputKernels(activate, activate_adjoint)
