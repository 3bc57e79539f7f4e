"""The description of a scene from the cameras that a program exported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from taichi_pynerf.data.description import HELD_OUT_EVERY, Description, hold_out
from taichi_pynerf.data.formats.lenses import MAX_COEFFICIENT, MAX_FOCAL, MAX_SIDE, Lens
from taichi_pynerf.data.formats.photos import tell_missing
from taichi_pynerf.data.formats.poses import check_rigid
from taichi_pynerf.data.image_files import ImageFinder, image_names
from taichi_pynerf.data.placement import FROM_CAMERAS, SceneTransform
from taichi_pynerf.data.scene_files import LoadOptions, shown
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.rotations import rotation_about, rotation_of_quaternion

IMAGE_FOLDERS = (".", "images", "input", "rgb", "photos", "undistorted")
"""Where images may be, relative to the export."""

Y_TO_Z = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
"""From a world where y is up, as ARKit's, to one where z is."""


class View(NamedTuple):
    """A camera with a pose.

    Attributes:
        where: its place in the export, for messages.
        file_path: path of its image, as written there.
        pose: [3, 4] float64 camera-to-world pose in OpenGL axes.
        lens: its lens.
    """

    where: str
    file_path: str
    pose: np.ndarray
    lens: Lens


def description_of(
    data_dir: Path,
    origin: Path,
    views: Sequence[View],
    options: LoadOptions,
    *,
    folders: Sequence[str] = IMAGE_FOLDERS,
    points: np.ndarray | None = None,
    y_is_up: bool = False,
) -> Description:
    """A scene of these views. Every eighth is held out, as is usual in the field.

    Args:
        data_dir: the scene folder.
        origin: the export.
        views: its cameras, in any order; those whose image is missing are left out, with a warning.
        options: the options of the user.
        folders: folders in `data_dir` where images may be.
        points: [K, 3] points on surfaces, if the export has any.
        y_is_up: up is +y in its world. Phones are often held on their side or upright, so that
            their cameras' own y axis does not tell what is up.

    Raises:
        SceneError: there are no views, a pose or lens is not valid, or no image is there.
    """
    if not views:
        raise SceneError(f"{origin}: no camera in this export has a pose")
    for view in views:
        if not np.isfinite(view.pose).all():
            raise SceneError(f"{view.where}: the pose has a value that is not finite")
        check_rigid(view.where, view.pose, "the pose")
        _check_lens(view.where, view.lens)
    views = sorted(views, key=lambda view: view.file_path)
    finder = ImageFinder(
        data_dir, folders=folders, allow_external_paths=options.allow_external_paths
    )
    paths = finder.find_all([v.file_path for v in views], [v.where for v in views], search=True)
    missing = [v.file_path for v, path in zip(views, paths, strict=True) if path is None]
    tell_missing(origin, missing, len(views))
    present = [(v, path) for v, path in zip(views, paths, strict=True) if path is not None]
    points = points if points is not None and len(points) else None
    poses, placement = np.stack([view.pose for view, _ in present]), FROM_CAMERAS
    if y_is_up:
        poses = SceneTransform(Y_TO_Z).apply_to_poses(poses)
        points = None if points is None else SceneTransform(Y_TO_Z).apply(points)
        placement = replace(placement, orientation="none")
    return Description(
        data_dir=data_dir,
        origin=origin,
        names=image_names([view.file_path for view, _ in present]),
        image_paths=[path for _, path in present],
        poses=poses,
        lenses=[view.lens for view, _ in present],
        splits=hold_out(list(range(len(present))), HELD_OUT_EVERY),
        placement=placement if points is None else replace(placement, center="points"),
        unbounded=True,
        points=points,
        applied=Y_TO_Z if y_is_up else None,
    )


def number(where: str, name: str, value: object) -> float:
    """A finite number, given as a number or as text.

    Raises:
        SceneError: the value is not a finite number.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        result = float(value)
    except ValueError:
        raise SceneError(f"{where}: {name} is {shown(value)}: it must be a number") from None
    if not math.isfinite(result):
        raise SceneError(f"{where}: {name} is {shown(value)}: it must be finite")
    return result


def numbers(where: str, name: str, values: object, count: int) -> np.ndarray:
    """float64 [count], given as a list of numbers or as text with spaces between them.

    Raises:
        SceneError: the value is not a list of so many numbers.
    """
    parts = values.split() if isinstance(values, str) else values
    if not isinstance(parts, list) or len(parts) != count:
        raise SceneError(f"{where}: {name} is {shown(values)}: it must be {count} numbers")
    return np.array([number(where, name, part) for part in parts])


def image_side(where: str, name: str, value: object) -> int:
    """The width or height of an image, pixels.

    Raises:
        SceneError: the value is not a valid size.
    """
    side = number(where, name, value)
    if not 1.0 <= side <= MAX_SIDE:
        raise SceneError(f"{where}: {name} is {side:g}: it must be 1 to {MAX_SIDE:g} pixels")
    return round(side)


def checked_quaternion(where: str, x: float, y: float, z: float, w: float) -> np.ndarray:
    """The rotation [3, 3] of a quaternion of any length.

    Raises:
        SceneError: the quaternion is 0 or not finite.
    """
    if not 1e-6 < np.linalg.norm([x, y, z, w]) < 1e6:
        raise SceneError(f"{where}: {shown([x, y, z, w])} is not the quaternion of a rotation")
    return rotation_of_quaternion(x, y, z, w)


def rotation_of_vector(vector: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] about a vector, by its length in radians."""
    angle = float(np.linalg.norm(vector))
    return np.eye(3) if angle < 1e-12 else rotation_about(vector / angle, angle)


def _check_lens(where: str, lens: Lens) -> None:
    values = [lens.fx, lens.fy, lens.cx, lens.cy, *lens.distortion]
    if not all(map(math.isfinite, values)):
        raise SceneError(f"{where}: the lens has a value that is not finite")
    if not all(1e-2 <= focal <= MAX_FOCAL for focal in (lens.fx, lens.fy)):
        raise SceneError(f"{where}: focal lengths of {lens.fx:g} {lens.fy:g} pixels are impossible")
    for centre, side in ((lens.cx, lens.width), (lens.cy, lens.height)):
        if not -10 * side <= centre <= 11 * side:
            raise SceneError(f"{where}: a principal point {lens.cx:g} {lens.cy:g} is impossible")
    if max(map(abs, lens.distortion)) > MAX_COEFFICIENT:
        raise SceneError(
            f"{where}: distortion beyond {MAX_COEFFICIENT:g}: {shown(lens.distortion)}"
        )
