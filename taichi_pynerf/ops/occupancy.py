"""Updates of the occupancy grid and of the grid of trained levels. Nothing is differentiable."""

import torch

from taichi_pynerf.kernels import occupancy as kernels
from taichi_pynerf.ops.bridge import check_dtype, check_shape
from taichi_pynerf.ops.residence import device_memory


@torch.no_grad()
def update_density(
    density: torch.Tensor, cells: torch.Tensor, sigmas: torch.Tensor, decay: float
) -> None:
    """In place: every cell decays, then takes the greatest density measured in it.

    Args:
        density: float32 [C], contiguous.
        cells: int32 or int64 [K] cell numbers in [0, C), not checked; they may repeat.
        sigmas: float32 [K] densities measured there.
        decay: factor in [0, 1].
    """
    check_shape("density", density, (None,))
    check_shape("sigmas", sigmas, (cells.shape[0],))
    check_dtype("density", density, torch.float32)
    if cells.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"cells must be int32 or int64, got {cells.dtype}")
    check_dtype("sigmas", sigmas, torch.float32)
    if cells.shape[0]:
        kernels.update_density(density, decay, cells.int().contiguous(), sigmas.contiguous())
    else:
        density *= decay


@torch.no_grad()
def binarise(density: torch.Tensor, threshold: float | torch.Tensor) -> torch.Tensor:
    """uint8 of the density's shape: 1 where it exceeds the threshold."""
    return (density > threshold).to(torch.uint8)


@torch.no_grad()
def update_level_range(
    level_min: torch.Tensor, level_max: torch.Tensor, positions: torch.Tensor, levels: torch.Tensor
) -> None:
    """In place: widen each cell's [level_min, level_max] to include the levels sampled in it.

    Args:
        level_min, level_max: float32 [G^3], contiguous, x slowest; each may be kept on the device
            (`ops.residence`).
        positions: float32 [M, 3] in [0, 1].
        levels: float32 [M] continuous pyramid levels.

    Raises:
        ValueError: a wrong shape or type, or a grid that is not a cube.
    """
    resolution = round(level_min.shape[0] ** (1 / 3))
    if resolution**3 != level_min.shape[0]:
        raise ValueError(f"level_min must hold G^3 cells, got {level_min.shape[0]}")
    check_shape("level_max", level_max, (level_min.shape[0],))
    check_shape("positions", positions, (None, 3))
    check_shape("levels", levels, (positions.shape[0],))
    for name, tensor in (
        ("level_min", level_min),
        ("level_max", level_max),
        ("positions", positions),
        ("levels", levels),
    ):
        check_dtype(name, tensor, torch.float32)
    if levels.shape[0]:
        ranges = (device_memory(tensor, writes=True) for tensor in (level_min, level_max))
        kernels.update_level_range(*ranges, resolution, positions.contiguous(), levels.contiguous())
