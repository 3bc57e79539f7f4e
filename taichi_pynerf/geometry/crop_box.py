"""A box of any orientation that cuts a scene: nothing outside of it is seen."""

from __future__ import annotations

import dataclasses
import itertools
import math

import torch

from taichi_pynerf.geometry.rays import Rays


@dataclasses.dataclass(frozen=True)
class CropBox:
    """A box in the world.

    Attributes:
        center: middle of the box, world units.
        size: lengths of its three sides, along its own axes, world units.
        angles: roll, pitch and yaw in radians. The axes of the box are those of the world, turned
            about the world's x, then y, then z, as in nerfstudio's `OrientedBox`.

    Raises:
        ValueError: a value is not finite, or a side is not positive.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("center", "size", "angles"):
            values = tuple(map(float, getattr(self, name)))
            if len(values) != 3 or not all(map(math.isfinite, values)):
                raise ValueError(f"{name} must be three numbers, not {values}")
            object.__setattr__(self, name, values)
        if min(self.size) <= 0:
            raise ValueError(f"the sides must be above 0, not {self.size}")

    @classmethod
    def from_aabb(cls, aabb: tuple[float, ...]) -> CropBox:
        """The box from (x0, y0, z0) to (x1, y1, z1)."""
        x0, y0, z0, x1, y1, z1 = aabb
        return cls(((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2), (x1 - x0, y1 - y0, z1 - z0))

    @property
    def axes(self) -> torch.Tensor:
        """float64 [3, 3]; the columns are the box's axes in the world."""
        (sx, cx), (sy, cy), (sz, cz) = ((math.sin(a), math.cos(a)) for a in self.angles)
        x = torch.tensor([[1, 0, 0], [0, cx, -sx], [0, sx, cx]], dtype=torch.float64)
        y = torch.tensor([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]], dtype=torch.float64)
        z = torch.tensor([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]], dtype=torch.float64)
        return z @ y @ x

    def corners(self) -> torch.Tensor:
        """float64 [8, 3], numbered by their place along x, y and z in binary."""
        signs = torch.tensor(list(itertools.product((-0.5, 0.5), repeat=3)), dtype=torch.float64)
        sides = torch.tensor(self.size, dtype=torch.float64)
        return (signs * sides) @ self.axes.T + torch.tensor(self.center, dtype=torch.float64)

    def around(self) -> tuple[float, ...]:
        """The smallest box along the world's axes that holds this one."""
        corners = self.corners()
        return (*corners.amin(0).tolist(), *corners.amax(0).tolist())

    def contains(self, points: torch.Tensor) -> torch.Tensor:
        """bool [N]: which of the points [N, 3] are in the box."""
        half = 0.5 * torch.tensor(self.size, dtype=points.dtype, device=points.device)
        return (self._local(points).abs() <= half).all(-1)

    def clip(self, rays: Rays) -> Rays:
        """The same rays, with bounds narrowed to the box.

        A ray that misses the box gets an empty interval, with both bounds equal.
        """
        origins = self._local(rays.rays_o)
        directions = rays.rays_d @ self.axes.to(rays.rays_d)
        half = 0.5 * torch.tensor(self.size, dtype=origins.dtype, device=origins.device)
        safe = torch.where(directions.abs() < 1e-12, torch.full_like(directions, 1e-12), directions)
        first, second = (-half - origins) / safe, (half - origins) / safe
        near = torch.minimum(first, second).amax(-1).maximum(rays.bounds[:, 0])
        far = torch.maximum(first, second).amin(-1).minimum(rays.bounds[:, 1])
        return dataclasses.replace(rays, bounds=torch.stack([near, far.maximum(near)], -1))

    def _local(self, points: torch.Tensor) -> torch.Tensor:
        """World points [N, 3] in the box's axes, relative to its middle."""
        center = torch.tensor(self.center, dtype=points.dtype, device=points.device)
        return (points - center) @ self.axes.to(points)
