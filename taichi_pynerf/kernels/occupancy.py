"""Scatter kernels of the two 3-D grids beside the field: occupancy and trained levels.

Maxima and minima do not depend on the order of threads, so results are repeatable despite atomics.
"""

import taichi as ti

from taichi_pynerf.kernels.launch import kernel

_vec3 = ti.types.vector(3, ti.f32)


@kernel
def update_density(
    density: ti.types.ndarray(ti.f32, 1),
    decay: ti.f32,
    cells: ti.types.ndarray(ti.i32, 1),
    sigmas: ti.types.ndarray(ti.f32, 1),
):
    """density = max(decay * density, sigma measured in the cell, if any)."""
    for i in range(density.shape[0]):
        density[i] *= decay
    for k in range(cells.shape[0]):
        ti.atomic_max(density[cells[k]], sigmas[k])


@kernel
def update_level_range(
    level_min: ti.types.ndarray(ti.f32, 1),
    level_max: ti.types.ndarray(ti.f32, 1),
    resolution: ti.i32,
    positions: ti.types.ndarray(_vec3, 1),
    levels: ti.types.ndarray(ti.f32, 1),
):
    """Widen [level_min, level_max] of each position's cell to include the position's level."""
    for k in range(positions.shape[0]):
        g = ti.math.clamp(ti.cast(ti.floor(positions[k] * resolution), ti.i32), 0, resolution - 1)
        cell = (g[0] * resolution + g[1]) * resolution + g[2]
        # Read first, as after some steps hardly any sample widens the range of its cell.
        if levels[k] < level_min[cell]:
            ti.atomic_min(level_min[cell], levels[k])
        if levels[k] > level_max[cell]:
            ti.atomic_max(level_max[cell], levels[k])
