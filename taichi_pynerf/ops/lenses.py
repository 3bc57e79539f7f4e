"""Undoing the distortion of lenses, in one launch."""

import torch

from taichi_pynerf.kernels.lenses import undistort_kernel
from taichi_pynerf.ops.bridge import check_dtype, check_shape, taichi_dtype


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
