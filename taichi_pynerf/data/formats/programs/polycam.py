"""Polycam's raw data: `keyframes/images`, and a JSON file for each image in `keyframes/cameras`.

`corrected_images` and `corrected_cameras`, which the app has optimised, are preferred. Poses are
camera-to-world in OpenGL axes, t_00 … t_23 row by row, in metres, in a world with y up. Newer
corrected cameras do not say the size of their images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens
from taichi_pynerf.data.formats.programs.views import View, description_of, image_side, number
from taichi_pynerf.data.image_files import list_images
from taichi_pynerf.data.images import read_header
from taichi_pynerf.data.scene_files import LoadOptions, read_json, warn_once
from taichi_pynerf.errors import SceneError
from taichi_pynerf.files import is_there

PAIRS = (("corrected_images", "corrected_cameras"), ("images", "cameras"))
PLACES = ("keyframes", ".")


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    folders = _folders(data_dir)
    if folders is None:
        if (data_dir / "keyframes").is_dir():
            return Fit(False, "a folder keyframes", "no images and cameras in it")
        return Fit(False, "", "no keyframes/images and keyframes/cameras")
    cameras = folders[1]
    return Fit(True, f"{cameras.relative_to(data_dir)}, Polycam's raw data")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the cameras of all images.

    Raises:
        SceneError: there are none, or a value in one is wrong.
    """
    folders = _folders(data_dir)
    if folders is None:
        raise SceneError(f"{data_dir}: no keyframes/images with keyframes/cameras here")
    images, cameras = folders
    views, lonely = [], []
    for image in list_images(images):
        path = cameras / f"{image.stem}.json"
        if not is_there(path):
            lonely.append(image.name)
            continue
        content = read_json(path)
        if not isinstance(content, dict):
            raise SceneError(f"{path}: must hold a JSON object")
        views.append(
            View(
                str(path),
                str(image.relative_to(data_dir)),
                _pose(path, content),
                _lens(path, content, image),
            )
        )
    if lonely:
        warn_once(
            f"{images}: {len(lonely)} images have no camera in {cameras.name} and are left out "
            f"({lonely[0]})"
        )
    return description_of(data_dir, cameras, views, options, folders=(".",), y_is_up=True)


def _folders(data_dir: Path) -> tuple[Path, Path] | None:
    for place in PLACES:
        for images, cameras in PAIRS:
            pair = data_dir / place / images, data_dir / place / cameras
            if all(map(Path.is_dir, pair)) and any(pair[1].glob("*.json")):
                return pair
    return None


def _pose(path: Path, content: dict) -> np.ndarray:
    names = [f"t_{i}{j}" for i in range(3) for j in range(4)]
    values = [number(str(path), name, content.get(name)) for name in names]
    return np.array(values).reshape(3, 4)


def _lens(path: Path, content: dict, image: Path) -> Lens:
    where, sides = str(path), ("width", "height")
    if any(content.get(name) is not None for name in sides):
        width, height = (image_side(where, name, content.get(name)) for name in sides)
    else:
        width, height = read_header(image).stored_size
    fx, fy, cx, cy = (number(where, n, content.get(n)) for n in ("fx", "fy", "cx", "cy"))
    return Lens(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)
