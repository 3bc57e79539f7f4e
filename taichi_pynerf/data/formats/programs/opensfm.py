"""OpenSfM's and OpenDroneMap's `reconstruction.json` beside `images`.

Format: https://opensfm.org/docs/dataset.html and the camera models of its geometry page. Lengths in
an image are in units of its longer side, from its middle. Rotations are axis times angle, from the
world to a camera that looks along +z with y down. Of several reconstructions the largest is used.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens, panorama_lens
from taichi_pynerf.data.formats.poses import opengl_pose_of_extrinsics
from taichi_pynerf.data.formats.programs.views import (
    View,
    description_of,
    image_side,
    number,
    numbers,
    rotation_of_vector,
)
from taichi_pynerf.data.scene_files import LoadOptions, read_json, shown, warn_once
from taichi_pynerf.errors import SceneError

PLACES = ("reconstruction.json", "opensfm/reconstruction.json")
IMAGE_FOLDERS = ("images", "opensfm/images", "code/images", ".", "../images")
MAX_BYTES = 2**29
"""Largest `reconstruction.json`. It holds all sparse points; a user of OpenDroneMap reports 1.5
million of 922 photos (its issue 296)."""
MAX_POINTS = 1_000_000
"""Of more points an even selection is taken, as they only place the scene."""

# Names of the distortion coefficients, and the models.
_RADIAL = ("k1", "k2", "k3", "k4")
_PERSPECTIVE = ("perspective", "simple_radial", "radial", "brown")
_FISHEYE = ("fisheye", "fisheye_opencv")
_PANORAMA = ("spherical", "equirectangular")


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    path = _file(data_dir)
    if path is None:
        return Fit(False, "", f"no {PLACES[0]}")
    try:
        largest = _largest(path)
    except SceneError as error:
        fault = str(error).removeprefix(f"{path}: ")
        return Fit(False, path.name, f"{path.name}: {fault}", is_claimed=True)
    return Fit(True, f"{path.relative_to(data_dir)} of {len(largest['shots'])} shots")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the largest reconstruction.

    Raises:
        SceneError: the file or all of its images are missing, or a value in it is wrong.
    """
    path = _file(data_dir)
    if path is None:
        raise SceneError(f"{data_dir}: no {' or '.join(PLACES)} here")
    content = _largest(path)
    cameras = content.get("cameras")
    if not isinstance(cameras, dict):
        raise SceneError(f"{path}: cameras must be a JSON object")
    lenses = {
        name: _lens(f"{path}: camera {shown(name)}", camera) for name, camera in cameras.items()
    }
    views = []
    for name, shot in content["shots"].items():
        where = f"{path}: shot {shown(name)}"
        lens = lenses.get(str(shot.get("camera"))) if isinstance(shot, dict) else None
        if lens is None:
            raise SceneError(f"{where} must be a JSON object with the name of a camera")
        rotation = rotation_of_vector(numbers(where, "rotation", shot.get("rotation"), 3))
        translation = numbers(where, "translation", shot.get("translation"), 3)
        pose = opengl_pose_of_extrinsics(rotation, translation)
        views.append(View(where, name, pose, lens))
    return description_of(
        data_dir, path, views, options, folders=IMAGE_FOLDERS[:-1], points=_points(path, content)
    )


def _file(data_dir: Path) -> Path | None:
    return next((data_dir / place for place in PLACES if (data_dir / place).is_file()), None)


def _largest(path: Path) -> dict:
    content = read_json(path, most=MAX_BYTES)
    parts: list[dict] = [
        part
        for part in (content if isinstance(content, list) else [content])
        if isinstance(part, dict) and isinstance(part.get("shots"), dict) and part["shots"]
    ]
    if not parts:
        raise SceneError(f"{path}: must hold a list of reconstructions with shots")
    parts.sort(key=lambda part: -len(part["shots"]))
    if len(parts) > 1:
        others = ", ".join(str(len(part["shots"])) for part in parts[1:])
        warn_once(
            f"{path}: {len(parts)} reconstructions, which do not share their coordinates; the "
            f"largest, of {len(parts[0]['shots'])} images, is taken (the others: {others})"
        )
    return parts[0]


def _lens(where: str, camera: object) -> Lens:
    if not isinstance(camera, dict):
        raise SceneError(f"{where} must be a JSON object")
    width, height = (image_side(where, name, camera.get(name)) for name in ("width", "height"))
    model = camera.get("projection_type", "perspective")
    if model in _PANORAMA:
        return panorama_lens(width, height)
    if model not in _PERSPECTIVE + _FISHEYE:
        known = ", ".join(_PERSPECTIVE + _FISHEYE + _PANORAMA)
        raise SceneError(f"{where}: projection_type {shown(model)} is not known (known: {known})")
    side = max(width, height)

    def value(name: str, default: float) -> float:
        return number(where, name, camera[name]) if name in camera else default

    focal = value("focal", value("focal_x", 0.0))
    distortion = [value(name, 0.0) for name in (*_RADIAL, "p1", "p2")]
    return Lens(
        width=width,
        height=height,
        fx=side * value("focal_x", focal),
        fy=side * value("focal_y", focal),
        cx=0.5 * width + side * value("c_x", 0.0),
        cy=0.5 * height + side * value("c_y", 0.0),
        distortion=tuple(distortion),
        fisheye=model in _FISHEYE,
    )


def _points(path: Path, content: dict) -> np.ndarray | None:
    points = content.get("points")
    if not isinstance(points, dict) or not points:
        return None
    step = math.ceil(len(points) / MAX_POINTS)
    places = [
        numbers(f"{path}: point {shown(name)}", "coordinates", point.get("coordinates"), 3)
        for name, point in itertools.islice(points.items(), 0, None, step)
        if isinstance(point, dict)
    ]
    return np.array(places).reshape(-1, 3)
