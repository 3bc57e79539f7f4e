"""Two grids beside the field: where something is, and which levels were trained where."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.field import PyramidField
from taichi_pynerf.model.samples import SAMPLES_AT_ONCE
from taichi_pynerf.ops.occupancy import binarise, update_density, update_level_range
from taichi_pynerf.ops.ray_march import block_occupancy
from taichi_pynerf.ops.residence import keep_on_device, to_host

TRAINED_LEVELS_RESOLUTION = 128


class OccupancyGrid(nn.Module):
    """A running maximum of density per cell, and its cells above a threshold (instant-ngp, E.2).

    Cascade k has resolution^3 cells in the cube of side 2^k around the middle of the unit cube.
    Cells are numbered cascade by cascade, x slowest.

    Args:
        resolution: cells along each axis; a multiple of 4 if there are several cascades.
        num_cascades: K; 1 for a bounded scene.
    """

    decay = 0.95
    warmup_updates = 16
    density: torch.Tensor
    occupied: torch.Tensor
    possible: torch.Tensor
    blocks: torch.Tensor
    num_updates: torch.Tensor

    def __init__(self, resolution: int, num_cascades: int = 1):
        super().__init__()
        self.resolution, self.num_cascades = resolution, num_cascades
        shape = (num_cascades, resolution, resolution, resolution)
        num_cells = num_cascades * resolution**3
        self.register_buffer("density", torch.zeros(num_cells))
        self.register_buffer("occupied", torch.ones(shape, dtype=torch.uint8))
        self.register_buffer("possible", torch.ones(num_cells, dtype=torch.bool))
        self.register_buffer("blocks", block_occupancy(self.occupied))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))
        for tensor in (self.occupied, self.blocks):
            keep_on_device(tensor)
        # The possible cells, of which state of `possible`, and how many of each cascade.
        self._listed: tuple[torch.Tensor, int, torch.Tensor] | None = None
        self._num_possible: list[int] = []

    def restrict(self, possible: torch.Tensor) -> None:
        """Rule out, for good, the cells where `possible`, bool [K * resolution^3], is false."""
        self.possible.copy_(possible)
        self.occupied.mul_(self.possible.view_as(self.occupied))
        self.blocks.copy_(block_occupancy(self.occupied))

    def thresholds(
        self, opacity: float, box_size: float, step_size: float, cone_angle: float
    ) -> list[float]:
        """Per cascade, the density at which a step of rendering has an opacity.

        Steps in the outer half of cascade k are taken to be as long as from a central camera.
        """
        depth = -math.log1p(-opacity)
        distances = (2**k * box_size / 2 for k in range(self.num_cascades))
        return [depth / max(step_size, cone_angle * t) for t in distances]

    @torch.no_grad()
    def update(
        self,
        density_at: Callable[[torch.Tensor], torch.Tensor],
        threshold: float | Sequence[float],
        generator: torch.Generator,
    ) -> None:
        """Measure the density in some cells, and decide again which cells are occupied.

        The first updates measure a quarter of the possible cells. Later ones measure one in 32, and
        half of the occupied cells.

        Args:
            density_at: maps unit positions [M, 3] to densities [M].
            threshold: least density of an occupied cell, one number or one per cascade. The mean
                density of the cascade takes its place where that is less.
            generator: picks the cells and the points in them.
        """
        cells = self._draw_cells(generator)
        corners = self.cell_coordinates(cells)
        inside = torch.rand(
            corners.shape, generator=generator, device=corners.device, dtype=torch.float32
        )
        positions = (corners + inside) / self.resolution
        if self.num_cascades > 1:
            side = 2 ** (cells // self.resolution**3).unsqueeze(-1)
            positions = (positions - 0.5) * side + 0.5
        sigmas = density_at(positions)
        update_density(self.density, cells, sigmas, self.decay)
        self._binarise(threshold)
        self.blocks.copy_(block_occupancy(self.occupied))
        self.num_updates += 1

    def _binarise(self, threshold: float | Sequence[float]) -> None:
        """Mark the cells that are denser than their cascade's threshold as occupied."""
        thresholds = (
            threshold if isinstance(threshold, Sequence) else [threshold] * self.num_cascades
        )
        cascades = zip(
            thresholds,
            self.density.view(self.num_cascades, -1),
            self.possible.view(self.num_cascades, -1),
            self._possible_cells().split(self._num_possible),
            self.occupied,
            strict=True,
        )
        for threshold, density, possible, cells, occupied in cascades:
            least: float | torch.Tensor = threshold
            if len(cells):
                least = self.density.index_select(0, cells).mean().clamp_max(threshold)
            occupied.copy_((binarise(density, least) * possible).view_as(occupied))

    def _possible_cells(self) -> torch.Tensor:
        """int32 [P] numbers of the possible cells. They are listed anew only where they change."""
        now = self.possible, self.possible._version
        if self._listed is None or self._listed[0] is not now[0] or self._listed[1] != now[1]:
            self._listed = *now, self.possible.nonzero().squeeze(-1).int()
            self._num_possible = self.possible.view(self.num_cascades, -1).sum(1).tolist()
        return self._listed[2]

    def _draw_cells(self, generator: torch.Generator) -> torch.Tensor:
        def draw(cells: torch.Tensor, share: float) -> torch.Tensor:
            count = math.ceil(share * cells.shape[0])
            limit = max(cells.shape[0], 1)
            picks = torch.randint(limit, (count,), generator=generator, device=cells.device)
            return cells[picks].long()

        if int(self.num_updates) < self.warmup_updates:
            return draw(self._possible_cells(), 1 / 4)
        occupied = self.occupied.view(-1).nonzero().squeeze(-1)
        return torch.cat([draw(self._possible_cells(), 1 / 32), draw(occupied, 1 / 2)])

    def cascade_of(self, positions: torch.Tensor) -> torch.Tensor:
        """int64 [M]: the finest cascade whose cube holds each of the unit positions [M, 3]."""
        distances = 2 * (positions - 0.5).abs().amax(-1)
        return distances.clamp_min(1).log2().ceil().long()

    def at(self, positions: torch.Tensor) -> torch.Tensor:
        """bool [M]: whether the cells of unit positions [M, 3] are occupied; false outside."""
        cascade = self.cascade_of(positions)
        local = (positions - 0.5) / 2.0 ** cascade.unsqueeze(-1) + 0.5
        g = (local * self.resolution).long().clamp_(0, self.resolution - 1)
        inside = (cascade < self.num_cascades).nonzero().squeeze(-1)
        found = torch.zeros_like(cascade, dtype=torch.bool)
        found[inside] = self.occupied[(cascade[inside], *g[inside].unbind(-1))].bool()
        return found

    def cell_coordinates(self, cells: torch.Tensor) -> torch.Tensor:
        """float32 [M, 3] coordinates of cells int64 [M] within their cascades, in cells."""
        g = self.resolution
        xyz = [cells // (g * g) % g, cells // g % g, cells % g]
        return torch.stack(xyz, -1).float()


class TrainedLevels(nn.Module):
    """The least and greatest pyramid level that training saw in each cell of a 128^3 grid.

    A camera nearer or farther than all training views would use heads that were never trained
    there. Clamping the level to this range prevents that (PyNeRF, section 3.4).
    """

    level_min: torch.Tensor
    level_max: torch.Tensor

    def __init__(self, resolution: int = TRAINED_LEVELS_RESOLUTION):
        super().__init__()
        self.resolution = resolution
        self.register_buffer("level_min", torch.full((resolution**3,), math.inf))
        self.register_buffer("level_max", torch.full((resolution**3,), -math.inf))
        for tensor in (self.level_min, self.level_max):
            keep_on_device(tensor)

    def record(self, positions: torch.Tensor, levels: torch.Tensor) -> None:
        """Note that `levels` [M] were trained at unit `positions` [M, 3]."""
        update_level_range(self.level_min, self.level_max, positions, levels)

    def clamp(self, positions: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Levels [M] clamped to the range trained at unit `positions`; unchanged if none was."""
        low, high = self._ranges(positions)
        seen = low <= high
        return torch.where(seen, levels.clamp(low, high), levels)

    def draw(
        self, positions: torch.Tensor, num_levels: int, generator: torch.Generator
    ) -> torch.Tensor:
        """A random trained level [M] for each position; any level where none was trained."""
        low, high = self._ranges(positions)
        seen = low <= high
        low = torch.where(seen, low, torch.zeros_like(low))
        high = torch.where(seen, high, torch.full_like(high, num_levels - 1))
        u = torch.rand(low.shape, generator=generator, device=low.device)
        return torch.lerp(low, high, u)

    def _ranges(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        g = (positions * self.resolution).long().clamp_(0, self.resolution - 1)
        cells = (g[:, 0] * self.resolution + g[:, 1]) * self.resolution + g[:, 2]
        low, high = self._to_host()
        return low.index_select(0, cells), high.index_select(0, cells)

    def _to_host(self) -> tuple[torch.Tensor, torch.Tensor]:
        return to_host(self.level_min), to_host(self.level_max)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._to_host()
        super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._to_host()
        super()._load_from_state_dict(*args, **kwargs)


def trained_density(
    field: PyramidField,
    box: SceneBox,
    trained: TrainedLevels,
    generator: torch.Generator,
    positions: torch.Tensor,
) -> torch.Tensor:
    """Densities [M] at unit positions [M, 3], each at a random level that is trained there."""
    positions = box.unit_to_field(positions)
    levels = trained.draw(positions, field.num_heads, generator)
    chunks = zip(positions.split(SAMPLES_AT_ONCE), levels.split(SAMPLES_AT_ONCE), strict=True)
    return torch.cat([field.density(x, level) for x, level in chunks])
