"""Undoing the distortion of lenses, and rays of their pixels, in a launch each."""

from typing import NamedTuple

import torch

from taichi_pynerf.kernels.lenses import pixel_rays_kernel, undistort_kernel
from taichi_pynerf.ops.bridge import check_dtype, check_shape, taichi_dtype


class NewtonLimits(NamedTuple):
    """How far Newton's method goes; see `ops.lenses.undistort`.

    Attributes:
        most_steps: of the method.
        small_step: after which it ends.
        farthest: greatest coordinate of a point found.
        least_determinant: least factor by which a lens changes areas.
    """

    most_steps: int
    small_step: float
    farthest: float
    least_determinant: float


@torch.no_grad()
def undistort(
    x_moved: torch.Tensor,
    y_moved: torch.Tensor,
    lenses: torch.Tensor,
    most_steps: int,
    small_step: float,
    farthest: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The image points that lenses move to the points given, by Newton's method from these.

    Args:
        x_moved, y_moved: [N] in focal lengths.
        lenses: [N, 6] or [1, 6]: k1, k2, k3, k4, p1, p2.
        most_steps: of Newton's method.
        small_step: after which the method ends.
        farthest: greatest coordinate of a point found.

    Returns:
        x, y: [N]. determinant: [N], the factor by which the lens changes small areas there. None of
        them is differentiable.
    """
    num_points = x_moved.shape[0]
    check_shape("x_moved", x_moved, (None,))
    check_shape("y_moved", y_moved, (num_points,))
    check_shape("lenses", lenses, (None if lenses.shape[0] == 1 else num_points, 6))
    for name, tensor in (("y_moved", y_moved), ("lenses", lenses)):
        check_dtype(name, tensor, x_moved.dtype)
    x, y, determinant = (x_moved.new_empty(num_points) for _ in range(3))
    if num_points:
        arrays = (values.detach().contiguous() for values in (x_moved, y_moved, lenses))
        launch = undistort_kernel(taichi_dtype(x_moved))
        launch(*arrays, most_steps, small_step, farthest, x, y, determinant)
    return x, y, determinant


@torch.no_grad()
def pixel_rays(
    views: torch.Tensor,
    pixel_x: torch.Tensor,
    pixel_y: torch.Tensor,
    c2w: torch.Tensor,
    fx: torch.Tensor,
    fy: torch.Tensor,
    cx: torch.Tensor,
    cy: torch.Tensor,
    lenses: torch.Tensor | None,
    limits: NewtonLimits,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rays through the centres of N pixels of V perspective cameras. Not differentiable.

    Args:
        views: int64 [N] or [1], in [0, V): the camera of each pixel, or of all of them.
        pixel_x, pixel_y: int64 [N] columns and rows.
        c2w: [V, 3, 4] camera-to-world poses.
        fx, fy, cx, cy: [V] intrinsics, pixels.
        lenses: [V, 6] k1, k2, k3, k4, p1, p2; None: no lens distorts.
        limits: of undoing distortion.

    Returns:
        [N, 3] origins, [N, 3] unit directions, and [N] areas of the pixels at distance 1.

    Raises:
        ValueError: a wrong shape or type.
    """
    num_pixels, num_views = pixel_x.shape[0], c2w.shape[0]
    check_shape("views", views, (None if views.shape[0] == 1 else num_pixels,))
    check_shape("pixel_y", pixel_y, (num_pixels,))
    check_shape("c2w", c2w, (None, 3, 4))
    for name, tensor in (("views", views), ("pixel_x", pixel_x), ("pixel_y", pixel_y)):
        check_dtype(name, tensor, torch.int64)
    intrinsics = {"fx": fx, "fy": fy, "cx": cx, "cy": cy}
    for name, tensor in intrinsics.items():
        check_shape(name, tensor, (num_views,))
    given = c2w.reshape(-1, 6) if lenses is None else lenses  # anything of the kind: it is not read
    if lenses is not None:
        check_shape("lenses", lenses, (num_views, 6))
    for name, tensor in {**intrinsics, "lenses": given}.items():
        check_dtype(name, tensor, c2w.dtype)
    rays_o, rays_d = c2w.new_empty(num_pixels, 3), c2w.new_empty(num_pixels, 3)
    pixel_areas = c2w.new_empty(num_pixels)
    if num_pixels:
        arrays = (views, pixel_x, pixel_y, c2w, *intrinsics.values(), given)
        launch = pixel_rays_kernel(lenses is not None, taichi_dtype(c2w))
        launch(
            *(array.detach().contiguous() for array in arrays), *limits,
            rays_o, rays_d, pixel_areas,
        )  # fmt: skip
    return rays_o, rays_d, pixel_areas
