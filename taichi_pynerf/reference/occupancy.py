"""Updates of the occupancy grid in plain torch."""

import torch
from torch import Tensor


@torch.no_grad()
def update_density(density: Tensor, cells: Tensor, sigmas: Tensor, decay: float) -> None:
    """Let all cells decay, then raise the visited ones to the density found there, in place.

    Instant-NGP's exponential moving maximum (Müller et al. 2022, appendix E.2).

    Args:
        density: [G**3].
        cells: visited cells, int32 or int64 [K]; they may repeat.
        sigmas: density found in each, [K].
        decay: factor on the old densities, in [0, 1].
    """
    density *= decay
    density.scatter_reduce_(0, cells.long(), sigmas, reduce="amax")


def binarise(density: Tensor, threshold: float) -> Tensor:
    """Cells denser than `threshold`: uint8 [G**3], 1 where a ray has to take samples."""
    return (density > threshold).to(torch.uint8)


@torch.no_grad()
def update_level_range(
    level_min: Tensor, level_max: Tensor, positions: Tensor, levels: Tensor
) -> None:
    """Widen the range of pyramid levels seen in each cell by those of new samples, in place.

    Args:
        level_min: least level so far, [G**3], x slowest.
        level_max: greatest level so far, [G**3], x slowest.
        positions: [M, 3] in [0, 1].
        levels: pyramid level of each sample, [M].
    """
    side = round(level_min.numel() ** (1 / 3))
    i, j, k = (positions * side).long().clamp(0, side - 1).unbind(-1)
    cells = (i * side + j) * side + k
    level_min.scatter_reduce_(0, cells, levels, reduce="amin")
    level_max.scatter_reduce_(0, cells, levels, reduce="amax")
