"""A video of ARKitScenes (Baruch et al. 2021): images, a lens for each, and one trajectory.

`lowres_wide/VIDEO_TIME.png`, `lowres_wide_intrinsics/VIDEO_TIME.pincam` (width, height, fx, fy, cx,
cy) and `lowres_wide.traj`, each line a time, a rotation vector and a translation, world-to-camera
in OpenCV's axes and metres. They lie in the folder of the video or in `VIDEO_frames` below it.
Times in names and in the trajectory differ by some milliseconds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens
from taichi_pynerf.data.formats.poses import opengl_pose_of_extrinsics
from taichi_pynerf.data.formats.programs.views import (
    View,
    description_of,
    image_side,
    numbers,
    rotation_of_vector,
)
from taichi_pynerf.data.image_files import list_images
from taichi_pynerf.data.scene_files import LoadOptions, note, read_text, warn_once
from taichi_pynerf.errors import SceneError
from taichi_pynerf.files import is_there

IMAGES, LENSES, POSES = "lowres_wide", "lowres_wide_intrinsics", "lowres_wide.traj"
SAME_TIME = 0.02
"""Greatest difference in seconds between an image and its pose or lens, which come ten times a
second."""


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    base = _base(data_dir)
    if base is None:
        return Fit(False, "", f"no {POSES}")
    where = (base / POSES).relative_to(data_dir)
    for name in (IMAGES, LENSES):
        if not (base / name).is_dir():
            return Fit(False, str(where), f"no folder {name} beside it")
    return Fit(True, f"{where}, of ARKitScenes")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the poses and lenses of all images that have both.

    Raises:
        SceneError: there are none, or a value in a file is wrong.
    """
    base = _base(data_dir)
    if base is None:
        raise SceneError(f"{data_dir}: no {POSES} here")
    note(base / LENSES)
    times, poses = _trajectory(base / POSES)
    lenses = {_time(path): path for path in sorted((base / LENSES).glob("*.pincam"))}
    lens_times = np.array(sorted(time for time in lenses if time is not None))
    views, lonely = [], []
    for image in list_images(base / IMAGES):
        time = _time(image)
        at = _nearest(times, time)
        lens_at = _nearest(lens_times, time)
        if at is None or lens_at is None:
            lonely.append(image.name)
            continue
        lens = _lens(lenses[float(lens_times[lens_at])])
        where, name = f"{base / POSES}: line {at + 1}", str(image.relative_to(data_dir))
        views.append(View(where, name, poses[at], lens))
    if lonely:
        warn_once(
            f"{base}: {len(lonely)} images have no pose or lens of their time and are left out "
            f"({lonely[0]})"
        )
    return description_of(data_dir, base / POSES, views, options, folders=(".",))


def _base(data_dir: Path) -> Path | None:
    places = (data_dir, data_dir / f"{data_dir.absolute().name}_frames")
    return next((place for place in places if is_there(place) and (place / POSES).is_file()), None)


def _trajectory(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times [K] in seconds and camera-to-world poses [K, 3, 4] in OpenGL axes, one a line."""
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    if not lines:
        raise SceneError(f"{path}: holds no pose")
    rows = [numbers(f"{path}: line {i + 1}", "a pose", line, 7) for i, line in enumerate(lines)]
    poses = []
    for row in rows:
        poses.append(opengl_pose_of_extrinsics(rotation_of_vector(row[1:4]), row[4:]))
    return np.array([row[0] for row in rows]), np.stack(poses)


def _time(path: Path) -> float | None:
    """The time in a file's name, seconds; None if there is none."""
    try:
        return float(path.stem.rpartition("_")[2])
    except ValueError:
        return None


def _nearest(times: np.ndarray, time: float | None) -> int | None:
    """The index of the nearest time, if it is near enough."""
    if time is None or not len(times):
        return None
    gaps = np.abs(times - time)
    at = int(gaps.argmin())
    return at if gaps[at] <= SAME_TIME else None


def _lens(path: Path) -> Lens:
    where = str(path)
    width, height, fx, fy, cx, cy = numbers(where, "the lens", read_text(path), 6).tolist()
    return Lens(
        width=image_side(where, "width", width), height=image_side(where, "height", height),
        fx=fx, fy=fy, cx=cx, cy=cy,
    )  # fmt: skip
