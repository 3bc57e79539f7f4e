"""SDFStudio's and MonoSDF's scenes: `meta_data.json` with a pose and intrinsics for each image.

Format: SDFStudio's documentation (docs/sdfstudio-data.md). Poses are camera-to-world matrices in
OpenCV's axes. `scene_box.aabb` is the box of what is to be reconstructed. Depths and normals that a
network estimated are not used.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit, frames_in
from taichi_pynerf.data.formats.lenses import Lens
from taichi_pynerf.data.formats.poses import checked_pose, opengl_pose
from taichi_pynerf.data.formats.programs.views import View, description_of, image_side, numbers
from taichi_pynerf.data.placement import AS_IT_IS, MAX_COORDINATE
from taichi_pynerf.data.scene_files import LoadOptions, checked_text, read_json, shown
from taichi_pynerf.errors import SceneError

FILE_NAME = "meta_data.json"
IMAGE_FOLDERS = (".", "image", "images", "rgb")


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    path = data_dir / FILE_NAME
    if not path.is_file():
        return Fit(False, "", f"no {FILE_NAME}")
    count, fault = frames_in(path)
    if fault:
        return Fit(False, FILE_NAME, f"{FILE_NAME}: {fault}", is_claimed=True)
    return Fit(True, f"{FILE_NAME} of {count} frames")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the frames.

    Raises:
        SceneError: the file or all of its images are missing, or a value in it is wrong.
    """
    path = data_dir / FILE_NAME
    content = read_json(path)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(frames, list) or not frames:
        raise SceneError(f"{path}: must hold a JSON object with a list frames")
    width, height = (image_side(str(path), name, content.get(name)) for name in ("width", "height"))
    views = []
    for i, frame in enumerate(frames):
        where = f"{path}: frames[{i}]"
        if not isinstance(frame, dict):
            raise SceneError(f"{where} must be a JSON object, not {shown(frame)}")
        pose = checked_pose(where, frame.get("camtoworld"), "camtoworld")
        pose = opengl_pose(pose[:, :3], pose[:, 3])
        matrix = _matrix(where, frame.get("intrinsics", content.get("intrinsics")))
        lens = Lens(
            width, height, fx=matrix[0, 0], fy=matrix[1, 1], cx=matrix[0, 2], cy=matrix[1, 2]
        )
        views.append(View(where, checked_text(where, frame, "rgb_path"), pose, lens))
    scene = description_of(data_dir, path, views, options, folders=IMAGE_FOLDERS)
    box = _box(path, content.get("scene_box"))
    return scene if box is None else replace(scene, placement=replace(AS_IT_IS, aabb=box))


def _matrix(where: str, value: object) -> np.ndarray:
    """The upper left 2x3 and more of the intrinsics, of 3x3 or 4x4 numbers."""
    rows = value if isinstance(value, list) else []
    if len(rows) not in (3, 4):
        raise SceneError(f"{where}: intrinsics is {shown(value)}: it must be a matrix of 4x4")
    return np.stack([numbers(where, "a row of intrinsics", row, len(rows)) for row in rows])


def _box(path: Path, value: object) -> tuple[float, ...] | None:
    """The scene box, if the file has one."""
    rows = value.get("aabb") if isinstance(value, dict) else None
    if rows is None:
        return None
    if not isinstance(rows, list) or len(rows) != 2:
        raise SceneError(f"{path}: scene_box: aabb is {shown(rows)}: it must be two corners")
    low, high = (numbers(f"{path}: scene_box", "a corner of aabb", row, 3) for row in rows)
    if not (low < high).all() or max(abs(low).max(), abs(high).max()) > MAX_COORDINATE:
        raise SceneError(f"{path}: scene_box: aabb is {shown(rows)}, which is no box")
    return (*low.tolist(), *high.tolist())
