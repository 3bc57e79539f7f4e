"""One camera, made from a pose and a focal length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from taichi_pynerf.errors import CameraError
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.cameras import look_at as look_at_pose

ROTATION_TOLERANCE = 1e-2
"""Greatest deviation of a pose's rotation from an orthonormal one, in any entry of R^T R."""


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera: its pose, its lens and the size of its image.

    Axes are OpenGL's: x right, y up, looking along -z. Image coordinates run right and down from
    the top left corner. Make one with `Camera.from_pose` or `Camera.look_at`, or take the scene's
    own from `LoadedScene.cameras`, which keep their lens distortion.

    Attributes:
        view: the camera as the rest of the library holds it: `Cameras` of one view.

    Example:
        >>> Camera.look_at(eye=(0, -4, 1), target=(0, 0, 0), focal=300, width=320, height=240)
        Camera(320x240 pixels at (0, -4, 1))
    """

    view: Cameras

    @classmethod
    def from_pose(
        cls,
        c2w: ArrayLike,
        focal: float | Sequence[float],
        width: int,
        height: int,
        *,
        principal_point: Sequence[float] | None = None,
    ) -> Camera:
        """A camera without lens distortion.

        Args:
            c2w: [3, 4] or [4, 4] camera-to-world pose: a rotation beside the camera's position, in
                the scene's units and OpenGL axes. From OpenCV's axes, negate columns 1 and 2.
            focal: focal length in pixels, or a pair (fx, fy).
            width, height: image size in pixels.
            principal_point: (cx, cy) in pixels from the top left corner; the middle by default.

        Raises:
            CameraError: a value has another shape, is not finite or is out of range; the message
                says which.
        """
        pose = _checked_pose(c2w)
        width, height = _checked_size("width", width), _checked_size("height", height)
        fx, fy = np.broadcast_to(_checked_array("focal", focal, (), (2,)), (2,)).tolist()
        if min(fx, fy) <= 0:
            raise CameraError(f"focal is {focal}: it must be above 0 (in pixels)")
        if principal_point is None:
            principal_point = (0.5 * width, 0.5 * height)
        cx, cy = _checked_array("principal_point", principal_point, (2,)).tolist()
        return cls(
            Cameras(
                c2w=torch.from_numpy(pose)[None],
                fx=torch.tensor([fx]),
                fy=torch.tensor([fy]),
                cx=torch.tensor([cx]),
                cy=torch.tensor([cy]),
                width=torch.tensor([width]),
                height=torch.tensor([height]),
            )
        )

    @classmethod
    def look_at(
        cls,
        eye: ArrayLike,
        target: ArrayLike,
        focal: float | Sequence[float],
        width: int,
        height: int,
        *,
        up: ArrayLike = (0.0, 0.0, 1.0),
    ) -> Camera:
        """A camera at `eye` that looks at `target`, upright.

        Args:
            eye, target: [3] points in the scene's units.
            focal, width, height: as for `from_pose`.
            up: [3] the direction that is up in the image.

        Raises:
            CameraError: as for `from_pose`; or `eye` and `target` coincide, or `up` points along
                the view.
        """
        points = [
            _checked_array(name, value, (3,))
            for name, value in (("eye", eye), ("target", target), ("up", up))
        ]
        try:
            pose = look_at_pose(*map(torch.from_numpy, points))
        except ValueError as error:
            raise CameraError(str(error)) from None
        return cls.from_pose(pose.numpy(), focal, width, height)

    @property
    def c2w(self) -> np.ndarray:
        """Camera-to-world pose, float32 [3, 4]."""
        return self.view.c2w[0].numpy().copy()

    @property
    def position(self) -> np.ndarray:
        """Position of the camera, float32 [3]."""
        return self.c2w[:, 3]

    @property
    def focal(self) -> tuple[float, float]:
        """Focal lengths (fx, fy) in pixels."""
        return float(self.view.fx[0]), float(self.view.fy[0])

    @property
    def width(self) -> int:
        """Image width in pixels."""
        return int(self.view.width[0])

    @property
    def height(self) -> int:
        """Image height in pixels."""
        return int(self.view.height[0])

    def resized(self, width: int, height: int) -> Camera:
        """The same view with another number of pixels: the whole image, resampled.

        Raises:
            CameraError: a side is less than 1 pixel.
        """
        size = _checked_size("width", width), _checked_size("height", height)
        return Camera(self.view.resized(*(torch.tensor([side]) for side in size)))

    def __repr__(self) -> str:
        x, y, z = self.position.tolist()
        return f"Camera({self.width}x{self.height} pixels at ({x:.3g}, {y:.3g}, {z:.3g}))"


def _checked_pose(c2w: ArrayLike) -> np.ndarray:
    """A pose [3, 4] or [4, 4], checked, as float32 [3, 4]."""
    pose = _checked_array("c2w", c2w, (3, 4), (4, 4))
    if pose.shape == (4, 4) and not np.allclose(pose[3], (0, 0, 0, 1), atol=1e-6):
        raise CameraError(f"c2w: its last row is {pose[3].tolist()}, it must be 0 0 0 1")
    rotation = pose[:3, :3]
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if error > ROTATION_TOLERANCE or np.linalg.det(rotation) < 0:
        raise CameraError(
            "c2w: its first three columns are not a rotation (unit length, at right angles, "
            f"right-handed); R^T R differs from the identity by {error:.2g}, "
            f"the determinant is {np.linalg.det(rotation):.3g}"
        )
    return pose[:3].astype(np.float32)


def _checked_array(name: str, value: ArrayLike, *shapes: tuple[int, ...]) -> np.ndarray:
    """`value` as float64 of one of `shapes`, all of it finite."""
    wanted = " or ".join("[" + ", ".join(map(str, shape)) + "]" for shape in shapes)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise CameraError(f"{name} must be numbers of shape {wanted}, not {value!r}") from None
    if array.shape not in shapes:
        raise CameraError(f"{name} must have shape {wanted}, not {list(array.shape)}")
    if not np.isfinite(array).all():
        raise CameraError(f"{name} holds a value that is not finite")
    return array


def _checked_size(name: str, value: int) -> int:
    """A number of pixels."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < 1:
        raise CameraError(f"{name} is {value!r}: it must be a whole number of pixels, 1 or more")
    return int(value)
