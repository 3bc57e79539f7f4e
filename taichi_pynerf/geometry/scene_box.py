"""The maps from world coordinates to those of the marcher, and on to those of the field.

*Unit* coordinates are an affine map of the world that puts the scene box into [0, 1]^3. Rays stay
straight there, and the occupancy grid uses them. *Field* coordinates, for the hash grid and the
grid of trained levels, fill [0, 1]^3 too. In a bounded scene they equal the unit coordinates. In an
unbounded scene the box is the inner half, [1/4, 3/4]^3, and everything else is contracted into the
shell around it.
"""

from dataclasses import dataclass

import torch

from taichi_pynerf.geometry.constants import constant
from taichi_pynerf.geometry.contraction import contract, uncontract
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.ops.placement import box_rays
from taichi_pynerf.runtime import runs_kernels


@dataclass(frozen=True)
class SceneBox:
    """An axis-aligned box, mapped into [0, 1]^3 by its longest side, centre to centre.

    Attributes:
        aabb: (min x, min y, min z, max x, max y, max z), world units.
        unbounded: whether there is something outside of the box.
        num_cascades: number of cascades. In an unbounded scene rays are followed to the cube that
            is 2^(num_cascades - 1) times as large as the box.
    """

    aabb: tuple[float, ...]
    unbounded: bool = False
    num_cascades: int = 1

    @property
    def size(self) -> float:
        """The longest side, world units: the side of the cube that maps to [0, 1]^3."""
        return max(high - low for low, high in zip(self.aabb[:3], self.aabb[3:], strict=True))

    @property
    def field_size(self) -> float:
        """Side, in world units at the scale inside the box, of the cube of field coordinates."""
        return 2 * self.size if self.unbounded else self.size

    @property
    def center(self) -> tuple[float, ...]:
        return tuple(
            (low + high) / 2 for low, high in zip(self.aabb[:3], self.aabb[3:], strict=True)
        )

    @property
    def reach(self) -> tuple[float, ...]:
        """The box within which rays are followed: this one, or the outermost cascade's cube."""
        return self.cascade(self.num_cascades - 1).aabb if self.unbounded else self.aabb

    def cascade(self, k: int) -> "SceneBox":
        """The cube that cascade `k` of the occupancy grid covers, 2^k times as large as the box."""
        half = 2**k * self.size / 2
        return SceneBox(
            (*(c - half for c in self.center), *(c + half for c in self.center)),
        )

    def to_unit(self, points: torch.Tensor) -> torch.Tensor:
        """Unit coordinates of world points [..., 3]."""
        return (points - constant(self.center, points)) / self.size + 0.5

    def direction_to_unit(self, directions: torch.Tensor) -> torch.Tensor:
        """World directions [..., 3] in unit coordinates, scaled so that t stays in world units."""
        return directions / self.size

    def unit_to_field(self, points: torch.Tensor) -> torch.Tensor:
        """Field coordinates of points [M, 3] in unit coordinates. Differentiable."""
        return contract(2 * points - 1) / 4 + 0.5 if self.unbounded else points

    def field_to_world(self, field_points: torch.Tensor) -> torch.Tensor:
        """World points of field coordinates [M, 3] inside the cube: where `unit_to_field` began."""
        points = field_points
        if self.unbounded:
            points = (uncontract(4 * field_points - 2) + 1) / 2
        return (points - 0.5) * self.size + constant(self.center, points)

    def closeness(self, field_points: torch.Tensor) -> torch.Tensor:
        """Inverse local sizes [M], per world unit, at points of an unbounded scene.

        The local size is the box's size inside the box, and m times that outside, where m is the
        distance from the centre in half box sizes and the maximum norm.

        Args:
            field_points: [M, 3] field coordinates.
        """
        reach = (4 * field_points - 2).abs().amax(-1).clamp_min(1)  # 2 - 1 / m outside
        return (2 - reach) / self.size

    def pixel_widths(self, rays: Rays) -> torch.Tensor:
        """Width [N] of each ray's pixel where the ray passes the middle of the box, world units.

        If the bounds of the ray exclude that place, the nearest distance within them counts.
        """
        t = ((constant(self.center, rays.rays_o) - rays.rays_o) * rays.rays_d).sum(-1)
        t = t.clamp_min(0).maximum(rays.bounds[:, 0]).minimum(rays.bounds[:, 1])
        return rays.pixel_areas.sqrt() * t

    def clip(
        self, rays_o: torch.Tensor, rays_d: torch.Tensor, bounds: torch.Tensor
    ) -> torch.Tensor:
        """Least and greatest t [N, 2] of each ray within its bounds and the box's `reach`.

        A ray that misses the box gets an empty interval, with both ends equal.
        """
        low, high = (constant(corner, rays_o) for corner in (self.reach[:3], self.reach[3:]))
        safe_d = torch.where(rays_d.abs() < 1e-12, torch.full_like(rays_d, 1e-12), rays_d)
        t_low, t_high = (low - rays_o) / safe_d, (high - rays_o) / safe_d
        near = torch.maximum(torch.minimum(t_low, t_high).amax(-1), bounds[:, 0])
        far = torch.minimum(torch.maximum(t_low, t_high).amin(-1), bounds[:, 1])
        return torch.stack([near, torch.maximum(near, far)], -1)

    @torch.no_grad()
    def enter(self, rays: Rays) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """N rays as the marcher needs them.

        Returns:
            `to_unit` of the origins, `direction_to_unit` of the directions, and `clip`.
        """
        given = rays.rays_o, rays.rays_d, rays.bounds
        if not runs_kernels(rays.rays_o):
            origins, dirs = self.to_unit(rays.rays_o), self.direction_to_unit(rays.rays_d)
            return origins, dirs, self.clip(*given)
        corners = constant(self.reach, rays.rays_o).view(2, 3)
        return box_rays(*given, corners, constant(self.center, rays.rays_o).view(1, 3), self.size)

    # ---- spacing along rays ---------------------------------------------------------------

    def to_spacing(self, t: torch.Tensor) -> torch.Tensor:
        """Map distances t, world units, to s, in which the strata of a ray are equally long.

        In a bounded scene s = t. In an unbounded scene s is linear in t up to the size R of the
        box, t / 2R, and linear in disparity beyond, 1 - R / 2t. It stays below 1 and is once
        differentiable.
        """
        if not self.unbounded:
            return t
        t = t / self.size
        return torch.where(t < 1, t / 2, 1 - 0.5 / t.clamp_min(1))

    def from_spacing(self, s: torch.Tensor) -> torch.Tensor:
        """The inverse of `to_spacing`."""
        if not self.unbounded:
            return s
        return self.size * torch.where(s < 0.5, 2 * s, 0.5 / (1 - s.clamp_min(0.5)))
