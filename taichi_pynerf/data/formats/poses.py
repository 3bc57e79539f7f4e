"""Camera poses from files: checks, OpenGL's axes, and bounds of distance."""

from __future__ import annotations

import numpy as np

from taichi_pynerf.data.scene_files import warn_once
from taichi_pynerf.errors import SceneError

ROTATION_TOLERANCE = 1e-2

MAX_FILE_COORDINATE = 1e8
"""Largest coordinate in a file. Georeferenced ones go up to 1e7 metres."""

OPENCV_TO_OPENGL = np.diag([1.0, -1.0, -1.0])
"""Changes the columns of a rotation from OpenCV's axes (y down, looking along +z) to OpenGL's."""


def opengl_pose(rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The pose [3, 4] in OpenGL's axes of a camera that is described in OpenCV's.

    Args:
        rotation: [3, 3] from the camera to the world.
        position: [3] the camera's place.
    """
    return np.column_stack([rotation @ OPENCV_TO_OPENGL, position])


def opengl_pose_of_extrinsics(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """`opengl_pose` from what brings points of the world to a camera with OpenCV's axes.

    Args:
        rotation: [3, 3] from the world to the camera.
        translation: [3] the world's origin as the camera has it.
    """
    return opengl_pose(rotation.T, -(rotation.T @ translation))


def checked_pose(
    where: str, matrix: object, name: str, *, may_be_scaled: bool = False
) -> np.ndarray:
    """A checked camera-to-world pose float64 [3, 4] from 4x4 or 3x4 floats, nested or in one list.

    Args:
        where: the file and the place in it, for messages.
        matrix: the value there.
        name: name of the value there.
        may_be_scaled: accept axes of any length, with a warning.

    Raises:
        SceneError: the value is not a rotation and translation.
    """
    if isinstance(matrix, list) and len(matrix) in (12, 16):  # row by row in one list
        matrix = [matrix[i : i + 4] for i in range(0, len(matrix), 4)]
    is_matrix = (
        isinstance(matrix, list)
        and len(matrix) in (3, 4)
        and all(isinstance(row, list) and len(row) == 4 for row in matrix)
        and all(type(value) is float for row in matrix for value in row)
    )
    if not is_matrix:
        raise SceneError(f"{where}: {name} must be 4 rows of 4 numbers (or 3 rows of 4)")
    full = np.array(matrix)
    if not np.isfinite(full).all():
        raise SceneError(f"{where}: {name} has a value that is not finite")
    if len(full) == 4 and np.abs(full[3] - (0.0, 0.0, 0.0, 1.0)).max() > 1e-6:
        raise SceneError(f"{where}: the last row of {name} must be 0 0 0 1")
    pose = _without_scale(where, full[:3], name) if may_be_scaled else full[:3]
    check_rigid(where, pose, name)
    return pose


def _without_scale(where: str, pose: np.ndarray, name: str) -> np.ndarray:
    """A pose [3, 4] whose axes stand at right angles, with axes of length 1, and a warning.

    Blender's matrices hold the scale of the camera object, which changes nothing that it sees.
    """
    lengths = np.linalg.norm(pose[:, :3], axis=0)
    if not (lengths > 1e-6).all() or np.abs(lengths - 1.0).max() <= ROTATION_TOLERANCE / 4:
        return pose
    rotation = pose[:, :3] / lengths
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > ROTATION_TOLERANCE:
        return pose
    warn_once(
        f"{where.partition(': frames[')[0]}: the axes of {name} have lengths such as "
        f"{lengths[0]:.4g}, the scale of a camera object; they are taken with length 1"
    )
    return np.column_stack([rotation, pose[:, 3]])


def check_rigid(where: str, pose: np.ndarray, name: str) -> None:
    """Check that a finite matrix [3, 4] is a rotation and translation.

    Raises:
        SceneError: it is not.
    """
    if np.abs(pose).max() > MAX_FILE_COORDINATE:
        raise SceneError(f"{where}: {name} has a value beyond {MAX_FILE_COORDINATE:g}")
    rotation = pose[:, :3]
    if abs(np.linalg.det(rotation)) < 1e-6:
        raise SceneError(f"{where}: {name} is not invertible")
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > ROTATION_TOLERANCE:
        raise SceneError(
            f"{where}: {name} is not a rotation and a translation: the columns of its "
            "upper left 3x3 part must have length 1 and stand at right angles"
        )
    if np.linalg.det(rotation) < 0.0:
        raise SceneError(f"{where}: {name} is mirrored: negate one of its axes")


def far_side(poses: np.ndarray, aabb: tuple[float, ...]) -> float:
    """A distance within which every ray from the poses [V, 3, 4] has left the scene box."""
    low, high = np.array(aabb[:3]), np.array(aabb[3:])
    farthest_corner = np.maximum(np.abs(poses[:, :, 3] - low), np.abs(poses[:, :, 3] - high))
    return 1.01 * float(np.linalg.norm(farthest_corner, axis=-1).max())


NEAR_SHARE = 0.05  # near bound, as a share of the cameras' spread or half the box, if that is less
FAR_SHARE = 100.0  # far bound, as a multiple of the greater of the two


def near_and_far(poses: np.ndarray, aabb: tuple[float, ...]) -> tuple[float, float]:
    """Bounds for an unbounded scene of which only the poses [V, 3, 4] and the box are known.

    Photographs are rarely taken from nearer than a small share of the cameras' spread. Beyond a
    hundred times the box there is no visible parallax.
    """
    spread = float(np.abs(poses[:, :, 3] - poses[:, :, 3].mean(axis=0)).max())
    half = 0.5 * max(high - low for low, high in zip(aabb[:3], aabb[3:], strict=True))
    near = NEAR_SHARE * (min(spread, half) if spread > 1e-6 else half)
    return near, FAR_SHARE * max(spread, half)
