"""The map from world coordinates to the unit cube in which the field and the grids live."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SceneBox:
    """An axis-aligned box, mapped into [0, 1]^3 by its longest side, centre to centre.

    Attributes:
        aabb: (min x, min y, min z, max x, max y, max z), world units.
    """

    aabb: tuple[float, ...]

    @property
    def size(self) -> float:
        """The longest side: the side, in world units, of the cube that maps to [0, 1]^3."""
        return max(high - low for low, high in zip(self.aabb[:3], self.aabb[3:], strict=True))

    @property
    def center(self) -> tuple[float, ...]:
        return tuple(
            (low + high) / 2 for low, high in zip(self.aabb[:3], self.aabb[3:], strict=True)
        )

    def to_unit(self, points: torch.Tensor) -> torch.Tensor:
        """[..., 3] world points to unit coordinates."""
        center = torch.tensor(self.center, dtype=points.dtype, device=points.device)
        return (points - center) / self.size + 0.5

    def direction_to_unit(self, directions: torch.Tensor) -> torch.Tensor:
        """[..., 3] world directions to unit coordinates, so that t stays in world units."""
        return directions / self.size

    def clip(
        self, rays_o: torch.Tensor, rays_d: torch.Tensor, bounds: torch.Tensor
    ) -> torch.Tensor:
        """[N, 2] least and greatest t of each ray within its bounds and the box.

        A ray that misses the box gets an empty interval (both ends equal).
        """
        low = torch.tensor(self.aabb[:3], dtype=rays_o.dtype, device=rays_o.device)
        high = torch.tensor(self.aabb[3:], dtype=rays_o.dtype, device=rays_o.device)
        safe_d = torch.where(rays_d.abs() < 1e-12, torch.full_like(rays_d, 1e-12), rays_d)
        t_low, t_high = (low - rays_o) / safe_d, (high - rays_o) / safe_d
        near = torch.maximum(torch.minimum(t_low, t_high).amax(-1), bounds[:, 0])
        far = torch.minimum(torch.maximum(t_low, t_high).amin(-1), bounds[:, 1])
        return torch.stack([near, torch.maximum(near, far)], -1)
