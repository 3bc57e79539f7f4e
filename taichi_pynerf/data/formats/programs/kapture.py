"""Kapture folders: `sensors/sensors.txt`, `trajectories.txt`, `records_camera.txt` and images.

Format: https://github.com/naver/kapture/blob/main/kapture_format.adoc. Lines hold values separated
by commas. Cameras are COLMAP's models. A pose is world-to-sensor: qw, qx, qy, qz, tx, ty, tz, for a
camera that looks along +z with y down.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens, lens_from_colmap
from taichi_pynerf.data.formats.poses import opengl_pose_of_extrinsics
from taichi_pynerf.data.formats.programs.views import (
    View,
    checked_quaternion,
    description_of,
    image_side,
    number,
    numbers,
)
from taichi_pynerf.data.scene_files import LoadOptions, read_text, shown, warn_once
from taichi_pynerf.errors import SceneError

FILES = ("sensors.txt", "trajectories.txt", "records_camera.txt")
IMAGE_FOLDERS = ("sensors/records_data", "records_data", "images", ".")


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    folder = data_dir / "sensors"
    there = [name for name in FILES if (folder / name).is_file()]
    if len(there) == len(FILES):
        return Fit(True, "sensors/sensors.txt, Kapture's")
    missing = next(name for name in FILES if name not in there)
    return Fit(False, f"sensors/{there[0]}" if there else "", f"no sensors/{missing}")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the images that have a pose.

    Raises:
        SceneError: a file or all images are missing, or a value in a file is wrong.
    """
    folder = data_dir / "sensors"
    lenses: dict[str, Lens] = {}
    for where, (number_, _name, kind, *values) in _lines(folder / FILES[0], 3):
        if kind == "camera":
            if len(values) < 3:
                raise SceneError(f"{where}: a camera needs a model, a width and a height")
            width, height = (image_side(where, "a side", value) for value in values[1:3])
            parameters = [number(where, "a parameter", value) for value in values[3:]]
            lenses[number_] = lens_from_colmap(where, values[0], width, height, parameters)
    poses = {}
    for where, (time, sensor, *values) in _lines(folder / FILES[1], 2):
        if len(values) != 7 or not all(values):
            continue  # part of the pose is unknown
        w, x, y, z, *translation = numbers(where, "the pose", values, 7).tolist()
        rotation = checked_quaternion(where, x, y, z, w)
        poses[time, sensor] = opengl_pose_of_extrinsics(rotation, np.array(translation))
    views, lonely = [], []
    for where, (time, sensor, name, *_) in _lines(folder / FILES[2], 3):
        if sensor not in lenses or (time, sensor) not in poses:
            lonely.append(name)
            continue
        views.append(View(where, name, poses[time, sensor], lenses[sensor]))
    if lonely:
        warn_once(
            f"{folder / FILES[2]}: {len(lonely)} images have no pose or no camera of their own and "
            f"are left out ({shown(', '.join(lonely))})"
        )
    return description_of(data_dir, folder, views, options, folders=IMAGE_FOLDERS)


def _lines(path: Path, least: int) -> list[tuple[str, list[str]]]:
    """(place, values) of the lines that are not empty."""
    lines = []
    for i, line in enumerate(read_text(path).splitlines()):
        values = [value.strip() for value in line.split(",")]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if len(values) < least:
            raise SceneError(f"{path}: line {i + 1} has {len(values)} values, not {least}")
        lines.append((f"{path}: line {i + 1}", values))
    return lines
