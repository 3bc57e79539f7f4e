"""From pixels to rays: origins, directions, and the size of the pixel that each ray stands for."""

from __future__ import annotations

from typing import NamedTuple

import torch

from taichi_pynerf.cameras import Cameras


class RayBatch(NamedTuple):
    """N rays, one per pixel.

    Attributes:
        rays_o: [N, 3] float32, origins in the world.
        rays_d: [N, 3] float32, unit directions in the world.
        pixel_areas: [N] float32, the area of the pixel's footprint on the plane perpendicular to
            the ray at distance 1 from the camera. At distance t the footprint is `t**2` as large.
    """

    rays_o: torch.Tensor
    rays_d: torch.Tensor
    pixel_areas: torch.Tensor


def generate_rays(
    cameras: Cameras, view_indices: torch.Tensor, pixel_x: torch.Tensor, pixel_y: torch.Tensor
) -> RayBatch:
    """The rays through the centres of N pixels, each of any view.

    Args:
        cameras: V views.
        view_indices: [N] int64 in [0, V).
        pixel_x, pixel_y: [N] int64, column and row; (0, 0) is the top left pixel.
    """
    return _pixel_rays(
        cameras.c2w.index_select(0, view_indices),
        cameras.fx.index_select(0, view_indices),
        cameras.fy.index_select(0, view_indices),
        cameras.cx.index_select(0, view_indices),
        cameras.cy.index_select(0, view_indices),
        pixel_x,
        pixel_y,
    )


def view_rays(cameras: Cameras, view: int) -> RayBatch:
    """The rays of all pixels of one view in row-major order: N = height * width."""
    width, height = int(cameras.width[view]), int(cameras.height[view])
    pixel = torch.arange(height * width, device=cameras.c2w.device)
    return _pixel_rays(
        cameras.c2w[view],
        cameras.fx[view],
        cameras.fy[view],
        cameras.cx[view],
        cameras.cy[view],
        pixel % width,
        pixel // width,
    )


def _pixel_rays(
    c2w: torch.Tensor,
    fx: torch.Tensor,
    fy: torch.Tensor,
    cx: torch.Tensor,
    cy: torch.Tensor,
    pixel_x: torch.Tensor,
    pixel_y: torch.Tensor,
) -> RayBatch:
    """Rays of [N] pixels from cameras with fields [N, …], or […] for one camera that all share.

    With d = (x, y, -1) the direction in camera axes and n = |d|, a pixel is a rectangle of area
    dx * dy = 1 / (fx * fy) on the plane z = -1. Turned to face the ray it has 1 / n of this area,
    and brought from distance n to distance 1 again 1 / n**2: the footprint is dx * dy / n**3. It
    is also the solid angle of the pixel, up to terms of the fourth order in the pixel's width.
    """
    x = (pixel_x + 0.5 - cx) / fx
    y = (cy - 0.5 - pixel_y) / fy
    inverse_norm = torch.rsqrt(x * x + y * y + 1.0)
    right, up, backward, position = c2w.unbind(-1)
    rays_d = x[:, None] * right + y[:, None] * up - backward
    # Not just a product with inverse_norm: poses read from files are rotations only nearly.
    rays_d = rays_d / rays_d.norm(dim=-1, keepdim=True)
    return RayBatch(
        rays_o=position.expand_as(rays_d).contiguous(),
        rays_d=rays_d,
        pixel_areas=inverse_norm**3 / (fx * fy),
    )
