"""Places in an unbounded scene where nothing is drawn, whatever was learned there."""

from __future__ import annotations

import torch
from torch import nn

RESOLUTION = 128  # cells along each axis of the field's cube


class RuledOut(nn.Module):
    """Cells of the cube of field coordinates that count as empty. At first there are none.

    They are a way to look at a model and no part of it, so that checkpoints do not have them.

    Args:
        unbounded: whether the scene is unbounded. Bounded ones have no such cells.
    """

    cells: torch.Tensor

    def __init__(self, unbounded: bool):
        super().__init__()
        self.resolution = RESOLUTION if unbounded else 1
        cells = torch.zeros(self.resolution**3, dtype=torch.uint8)
        self.register_buffer("cells", cells, persistent=False)
        self.has_cells = False  # whether there are such cells

    def rule_out(self, cells: torch.Tensor) -> None:
        """Take these cells as empty from now on, bool [resolution^3], x slowest; others are not."""
        self.cells.copy_(cells)
        self.has_cells = bool(cells.any())

    def leave(self, sigmas: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Densities [M] at field coordinates [M, 3], 0 in empty cells. Differentiable."""
        if not self.has_cells:
            return sigmas
        g = (positions.detach() * self.resolution).long().clamp_(0, self.resolution - 1)
        cells = (g[:, 0] * self.resolution + g[:, 1]) * self.resolution + g[:, 2]
        return sigmas.masked_fill(self.cells.index_select(0, cells).bool(), 0.0)
