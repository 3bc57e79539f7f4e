"""The trained levels in few bytes: ranges of cells twice as wide, in steps of a sixteenth level.

A cell of the model's own grid has seen few samples, so that its range is noise around its
neighbours'. Eight cells' ranges together hold on to what was trained close by, and compress to a
fifth.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import max_pool3d

from taichi_pynerf.export.web.reach import cells_met
from taichi_pynerf.model.model import PyNeRF

WIDTH = 2  # cells of the model's grid along a side of one
UNSEEN = 255  # the least level of a cell where nothing was trained
LEAST_STEP = 1 / 16  # levels
_MOST = 254  # a level's greatest code


def range_step(num_heads: int) -> float:
    """What a code of 1 stands for, in levels; a float32 number."""
    return float(np.float32(max(LEAST_STEP, (num_heads - 1) / _MOST)))


def trained_shares(model: PyNeRF) -> list[float]:
    """For each head, in what share of the cells that training has seen it was asked there.

    A model that was trained at one scale has never asked its coarsest heads. Without a cell that
    was seen, nothing is known, and all shares are 1.
    """
    low, high = _levels_met(model)
    low, high = low[low <= high], high[low <= high]
    heads = range(model.field.num_heads)
    if not len(low):
        return [1.0 for _ in heads]
    # A sample between two levels asks both heads.
    return [float(((low < head + 1) & (high > head - 1)).float().mean()) for head in heads]


def quantise_ranges(model: PyNeRF) -> np.ndarray:
    """Round the trained levels in place, and forget them where no sample falls.

    Returns:
        uint8 [G / 2, G / 2, G / 2, 2]: least and greatest level of each cell in `range_step`s; the
        least is `UNSEEN` where nothing was trained.
    """
    trained, step = model.trained_levels, range_step(model.field.num_heads)
    low, high = _levels_met(model)
    # Greatest values of blocks: of the negative least levels, and of the greatest.
    negative, high = max_pool3d(torch.stack([-low, high]), WIDTH)
    low = -negative
    seen = low <= high
    codes = torch.full((*seen.shape, 2), UNSEEN, dtype=torch.uint8)
    codes[..., 1] = 0
    for i, level in enumerate((low, high)):
        codes[..., i][seen] = (level[seen] / step).round().clamp(0, _MOST).to(torch.uint8)
    rounded = codes.float() * step
    state = trained.state_dict()
    state["level_min"] = _spread(torch.where(seen, rounded[..., 0], torch.inf))
    state["level_max"] = _spread(torch.where(seen, rounded[..., 1], -torch.inf))
    trained.load_state_dict(state)
    return codes.numpy()


def _levels_met(model: PyNeRF) -> tuple[torch.Tensor, torch.Tensor]:
    """Least and greatest trained levels [G, G, G].

    The least is infinite, and the greatest minus infinite, where none was trained or no sample can
    fall.
    """
    g = model.trained_levels.resolution
    state = model.trained_levels.state_dict()
    low, high = (state[name].cpu().view(g, g, g) for name in ("level_min", "level_max"))
    met = cells_met(model)
    if met is None:
        return low, high
    return low.masked_fill(~met, torch.inf), high.masked_fill(~met, -torch.inf)


def _spread(blocks: torch.Tensor) -> torch.Tensor:
    """[G**3]: every cell has its block's value."""
    for axis in range(3):
        blocks = blocks.repeat_interleave(WIDTH, axis)
    return blocks.flatten()
