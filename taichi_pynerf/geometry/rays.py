"""Rays of pixels: origins, directions, and the size of the pixel that each ray stands for."""

from __future__ import annotations

import dataclasses
import math

import torch

from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.constants import constant
from taichi_pynerf.geometry.distortion import NEWTON_LIMITS, undistort
from taichi_pynerf.ops.lenses import pixel_rays
from taichi_pynerf.runtime import runs_kernels

WHOLE_RAY = (0.0, math.inf)  # no bounds; rendering needs a finite far


@dataclasses.dataclass(frozen=True, eq=False)
class Rays:
    """N rays in world units, each standing for one pixel.

    Attributes:
        rays_o: [N, 3] float32, origins.
        rays_d: [N, 3] float32, unit directions.
        pixel_areas: [N] float32, the area of the pixel's footprint on the plane perpendicular to
            the ray at distance 1 from the camera. At distance t it is `t**2` times as large.
        bounds: [N, 2] float32, least and greatest distance along each ray.
    """

    rays_o: torch.Tensor
    rays_d: torch.Tensor
    pixel_areas: torch.Tensor
    bounds: torch.Tensor

    def __len__(self) -> int:
        return self.rays_o.shape[0]

    def __getitem__(self, index: slice | torch.Tensor) -> Rays:
        """The rays selected by a slice or a tensor."""
        return Rays(*(getattr(self, field.name)[index] for field in dataclasses.fields(self)))

    def to(self, device: torch.device | str) -> Rays:
        """The same rays on `device`."""
        return Rays(*(getattr(self, field.name).to(device) for field in dataclasses.fields(self)))


def generate_rays(
    cameras: Cameras,
    view_indices: torch.Tensor,
    pixel_x: torch.Tensor,
    pixel_y: torch.Tensor,
    bounds: tuple[float, float] | torch.Tensor = WHOLE_RAY,
) -> Rays:
    """The rays through the centres of N pixels, from any of the views.

    Args:
        cameras: V views.
        view_indices: [N] int64 in [0, V).
        pixel_x, pixel_y: [N] int64, column and row; (0, 0) is the top left pixel.
        bounds: least and greatest distance along the rays, a pair for all or [N, 2].
    """
    return _rays_within(bounds, *_pixel_rays(cameras, view_indices, pixel_x, pixel_y))


def view_rays(
    cameras: Cameras, view: int, bounds: tuple[float, float] | torch.Tensor = WHOLE_RAY
) -> Rays:
    """The rays of all pixels of one view in row-major order: N = height * width.

    Bounds are as in `generate_rays`.
    """
    width, height = int(cameras.width[view]), int(cameras.height[view])
    pixel = torch.arange(height * width, device=cameras.c2w.device)
    views = pixel.new_full((1,), view)
    return _rays_within(bounds, *_pixel_rays(cameras, views, pixel % width, pixel // width))


def _rays_within(
    bounds: tuple[float, float] | torch.Tensor,
    rays_o: torch.Tensor,
    rays_d: torch.Tensor,
    pixel_areas: torch.Tensor,
) -> Rays:
    near_far = bounds if isinstance(bounds, torch.Tensor) else constant(bounds, rays_d)
    bounds = near_far.expand(len(rays_d), 2).clone(memory_format=torch.contiguous_format)
    return Rays(rays_o, rays_d, pixel_areas, bounds)


def _pixel_rays(
    cameras: Cameras, views: torch.Tensor, pixel_x: torch.Tensor, pixel_y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Origins, directions and pixel areas of N pixels, of `views` [N] or of one view [1]."""
    if not (cameras.perspective and runs_kernels(cameras.c2w)):
        return any_pixel_rays(cameras, views, pixel_x, pixel_y)
    intrinsics = cameras.fx, cameras.fy, cameras.cx, cameras.cy
    return pixel_rays(
        views, pixel_x, pixel_y, cameras.c2w, *intrinsics, cameras.distortion, NEWTON_LIMITS
    )


def any_pixel_rays(
    cameras: Cameras, views: torch.Tensor, pixel_x: torch.Tensor, pixel_y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The rays of N pixels of lenses of all kinds, in torch: [N, 3] origins, [N, 3] directions and
    [N] areas. Arguments as in `ops.lenses.pixel_rays`.

    Let d = (x, y, -1) be the direction in camera axes and n = |d|. On the plane z = -1 a pixel is a
    rectangle of area dx * dy = 1 / (fx * fy). Turned to face the ray it has 1 / n of this area, and
    brought from distance n to distance 1 again 1 / n**2, so the footprint is dx * dy / n**3. This
    is also the solid angle of the pixel, up to terms of fourth order in the pixel's width.

    Distortion divides dx * dy by the determinant of its Jacobian. A fisheye at the angle theta =
    |(x, y)| has the direction (x, y) * sin(theta) / theta, -cos(theta). The area theta dtheta dphi
    has the solid angle sin(theta) dtheta dphi, which gives sin(theta) / theta for 1 / n**3. A
    panorama at longitude x and latitude y has the direction (sin x cos y, sin y, -cos x cos y), and
    cos y for 1 / n**3. Orthographic rays start at (x, y, 0), and their pixels have the same area at
    any distance: see `parallel_as_cones`. The eyes of a stereo pair are to the left and right of
    the camera, and look ahead in parallel.
    """

    def of_view(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.index_select(0, views)

    def chosen(tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else of_view(tensor)

    c2w, fx, fy, cx, cy = map(
        of_view, (cameras.c2w, cameras.fx, cameras.fy, cameras.cx, cameras.cy)
    )
    distortion, fisheye = chosen(cameras.distortion), chosen(cameras.fisheye)
    panorama, orthographic = chosen(cameras.panorama), chosen(cameras.orthographic)
    eye_distance = chosen(cameras.eye_distance)
    x = pixel_x + 0.5 - cx
    if eye_distance is not None:
        is_right = (eye_distance > 0) & (x > cx)
        x = torch.where(is_right, x - 2 * cx, x)
    x = x / fx
    y = (cy - 0.5 - pixel_y) / fy
    plane_areas = 1.0 / (fx * fy)
    if distortion is not None:
        x, y, determinant = undistort(x, -y, distortion)
        y = -y
        plane_areas = plane_areas / determinant
    q = x * x + y * y
    facing = torch.rsqrt(q + 1.0) ** 3
    right, up, backward, position = c2w.unbind(-1)
    position = position.expand(len(x), 3)
    forward = torch.ones_like(x)
    if fisheye is not None:
        # No lens sees straight behind itself; such pixels have no ray (`Cameras.pixels_with_rays`).
        theta = q.sqrt().clamp_max(math.pi - 1e-3)
        sinc = torch.sinc(theta / math.pi)
        facing = torch.where(fisheye, sinc, facing)
        x, y = torch.where(fisheye, x * sinc, x), torch.where(fisheye, y * sinc, y)
        forward = torch.where(fisheye, theta.cos(), 1.0)
    if panorama is not None:
        cosine = y.cos().clamp_min(1e-6)
        facing = torch.where(panorama, cosine, facing)
        forward = torch.where(panorama, x.cos() * cosine, forward)
        x, y = torch.where(panorama, x.sin() * cosine, x), torch.where(panorama, y.sin(), y)
    if orthographic is not None:
        facing = torch.where(orthographic, 1.0, facing)
        aside = torch.where(orthographic[..., None], x[:, None] * right + y[:, None] * up, 0.0)
        position = position + aside
        x, y = torch.where(orthographic, 0.0, x), torch.where(orthographic, 0.0, y)
    if eye_distance is not None:
        aside = torch.where(is_right, 0.5, -0.5) * eye_distance
        position = position + aside[:, None] * right
    rays_d = x[:, None] * right + y[:, None] * up - forward[:, None] * backward
    # Not only a product with 1 / n, as poses from files are only nearly rotations.
    rays_d = rays_d / rays_d.norm(dim=-1, keepdim=True)
    return position.contiguous(), rays_d, facing * plane_areas


def along_rays(
    depths: torch.Tensor, rays: Rays, cameras: Cameras, view_indices: torch.Tensor
) -> torch.Tensor:
    """[N] distances along rays of depths [N] along the optical axes of their views [N].

    0 where a ray is all but perpendicular to the axis. A panorama has no axis: its depths are
    distances already.
    """
    backward = cameras.c2w[:, :, 2].index_select(0, view_indices)
    cosines = -(rays.rays_d * backward).sum(-1)
    if cameras.panorama is not None:
        cosines = cosines.where(~cameras.panorama.index_select(0, view_indices), 1.0)
    return torch.where(cosines > 1e-3, depths / cosines.clamp_min(1e-3), 0.0)


def parallel_as_cones(
    rays: Rays, center: tuple[float, ...], size: float, back: float
) -> tuple[Rays, float]:
    """Orthographic rays in the form of cones, which all other rays are.

    The origins are moved back, so that the width of a cone hardly changes over the scene's box. The
    cone is as wide as the pixel where its ray is nearest to the middle of the box.

    Args:
        rays: N parallel rays, whose `pixel_areas` hold at any distance.
        center, size: middle and side of the box, world units.
        back: distance by which to move the origins, in sides.

    Returns:
        The rays, and the length to subtract from distances along them.
    """
    shift = back * size
    origins = rays.rays_o - shift * rays.rays_d
    middle = ((constant(center, rays.rays_o) - origins) * rays.rays_d).sum(-1)
    areas = rays.pixel_areas / middle.clamp_min(0.5 * size).square()
    return Rays(origins, rays.rays_d, areas, rays.bounds + shift), shift
