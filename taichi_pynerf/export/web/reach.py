"""Which cells and which entries of the hash grid a sample can meet: a page needs no others.

Steps of a bounded scene fall in occupied cells alone, and there at levels that were trained. The
first steps of a training, when every cell is taken as occupied, leave numbers everywhere else.
"""

from __future__ import annotations

import torch
from torch.nn.functional import adaptive_max_pool3d

from taichi_pynerf.kernels.hash_grid import PRIMES, HashGridSpec
from taichi_pynerf.model.model import PyNeRF

MARGIN = 1e-3  # of a cell: what rounding may add to a position
ENOUGH = 6.0  # vertices per entry that leave almost none out: exp(-6) of them
_AT_ONCE = 2**22  # vertices


def is_marched(model: PyNeRF) -> bool:
    """Whether samples fall in the occupied cells of one grid, and nowhere else."""
    bounded = not model.config.unbounded and len(model.occupancy.occupied) == 1
    return bounded and model.config.sampler == "occupancy"


def cells_met(model: PyNeRF) -> torch.Tensor | None:
    """bool [G, G, G]: the cells of the trained levels that a sample can fall in; None for all."""
    if not is_marched(model):
        return None
    # A cell of one grid is met if any that it overlaps in the other is occupied.
    occupied = (model.occupancy.occupied.cpu() != 0).float()
    return adaptive_max_pool3d(occupied, model.trained_levels.resolution)[0] > 0


def entries_reached(model: PyNeRF) -> list[torch.Tensor | None]:
    """Per level of the field's grid bool [entries]: those that a sample can read; None for all.

    Entries are left out for sure, not by chance: no sample of any camera reads one that is false.
    """
    spec = model.field.shared_encoder.spec
    if not is_marched(model):
        return [None] * spec.num_levels
    occupied = model.occupancy.occupied[0].cpu() != 0
    cells = occupied.nonzero()
    finest = _finest_levels(model)[occupied]
    sides = model.occupancy.resolution
    return [
        _reached(cells[finest >= level], sides, spec, level) for level in range(spec.num_levels)
    ]


def _finest_levels(model: PyNeRF) -> torch.Tensor:
    """int [G, G, G] of the occupancy grid: the finest level of the hash grid that is read there."""
    trained, field = model.trained_levels, model.field
    last, g, sides = field.num_heads - 1, trained.resolution, model.occupancy.resolution
    low, high = (trained.state_dict()[name].cpu() for name in ("level_min", "level_max"))
    # Where nothing was trained a sample keeps its level.
    most = torch.tensor(float(last))
    finest = torch.where(low <= high, high.ceil().clamp_max(last), most).view(g, g, g)
    met = cells_met(model)
    assert met is not None
    finest = torch.where(met, finest, torch.tensor(-1.0))
    finest = adaptive_max_pool3d(finest[None], sides)[0].long()
    return finest + len(field.resolutions) - field.num_heads


def _reached(
    cells: torch.Tensor, sides: int, spec: HashGridSpec, level: int
) -> torch.Tensor | None:
    """bool [entries] of a level: the corners of its cells that overlap some cells of a grid.

    Args:
        cells: int [C, 3] of a grid with so many `sides`.
    """
    n, size = spec.resolutions[level], spec.level_sizes[level]
    scale = n / sides
    if not spec.dense(level) and len(cells) * scale**3 > ENOUGH * size:
        return None
    first = (cells * scale - MARGIN).floor().clamp(0, n - 1).long()
    last = ((cells + 1) * scale + MARGIN).floor().clamp(0, n - 1).long() + 1
    reached = torch.zeros(size, dtype=torch.bool)
    if not len(cells):
        return reached
    reach = int((last - first).max()) + 1
    steps = torch.cartesian_prod(*[torch.arange(reach)] * 3)
    for begin, end in zip(
        first.split(max(_AT_ONCE // reach**3, 1)),
        last.split(max(_AT_ONCE // reach**3, 1)),
        strict=True,
    ):
        vertices = torch.minimum(begin[:, None] + steps, end[:, None])
        x, y, z = vertices.view(-1, 3).unbind(1)
        if spec.dense(level):
            index = x + (n + 1) * (y + (n + 1) * z)
        else:
            index = x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]
            index &= spec.hash_table_size - 1
        reached[index] = True
    return reached
