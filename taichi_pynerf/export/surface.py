"""A trained field at points of the world: density, and surface normals."""

import torch

from taichi_pynerf.geometry.normals import density_normals
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.pyramid import get_pyramid_level

POINTS_PER_CHUNK = 2**17


class Surface:
    """Evaluates a model at world points, for footprints of one width.

    The pyramid uses the level of that width. This level averages finer detail, and avoids the noise
    of the finest level. Where the occupancy grid is empty, the density is 0, as the field was never
    trained there.

    Args:
        model: a trained model.
        width: width of the footprints, world units.
    """

    def __init__(self, model: PyNeRF, width: float):
        self.model, self.width = model, width
        self.box = model.renderer.box
        area = torch.tensor(width**2)
        level_size = model.renderer.level_size
        self.level = float(get_pyramid_level(area, model.field.resolutions, level_size))
        self.level = min(self.level, model.field.num_heads - 1)

    @torch.no_grad()
    def density(self, points: torch.Tensor) -> torch.Tensor:
        """Densities [K], per world unit, of world points [K, 3]."""
        device = self.model.device
        chunks = points.split(POINTS_PER_CHUNK)
        return torch.cat([self._density(x.to(device)) for x in chunks]).to(points.device)

    def normal(self, points: torch.Tensor) -> torch.Tensor:
        """Unit normals [K, 3] over two footprints; 0 where the density is constant."""
        return density_normals(self.density, points, 2 * self.width)

    def is_dense(self, points: torch.Tensor) -> torch.Tensor:
        """bool [K]: whether the density at world points [K, 3] reaches that of an occupied cell."""
        cascade = self.model.occupancy.cascade_of(self.box.to_unit(points))
        thresholds = points.new_tensor(self.model.renderer.density_thresholds)
        return self.density(points) >= thresholds[cascade.clamp_max(len(thresholds) - 1)]

    def _density(self, points: torch.Tensor) -> torch.Tensor:
        unit = self.box.to_unit(points)
        inside = torch.ones(len(points), dtype=torch.bool, device=points.device)
        if not self.box.unbounded:  # which may be flatter than its cube
            low, high = (points.new_tensor(self.box.aabb[i : i + 3]) for i in (0, 3))
            inside = ((points >= low) & (points <= high)).all(-1)
        if self.model.config.sampler == "occupancy":
            inside &= self.model.occupancy.at(unit)
        inside = inside.nonzero().squeeze(-1)
        positions = self.box.unit_to_field(unit.index_select(0, inside))
        levels = torch.full_like(positions[:, 0], self.level)
        levels = self.model.trained_levels.clamp(positions, levels)
        sigmas = points.new_zeros(len(points))
        return sigmas.index_copy(0, inside, self.model.field.density(positions, levels))
