"""The raw frames of 3D Scanner App (Laan Labs; Share > All Data): `frame_00000.jpg` and `.json`.

A frame's JSON file has "cameraPoseARFrame", ARKit's camera-to-world matrix row by row in OpenGL
axes and metres, in ARKit's world, where y is up; and "intrinsics", the lens's matrix row by row for
the photo's size. Not every frame with a pose has a photo.
"""

from __future__ import annotations

from pathlib import Path

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens
from taichi_pynerf.data.formats.programs.views import View, description_of, numbers
from taichi_pynerf.data.image_files import list_images
from taichi_pynerf.data.images import read_header
from taichi_pynerf.data.scene_files import LoadOptions, read_json, warn_once
from taichi_pynerf.errors import SceneError

POSE, LENS = "cameraPoseARFrame", "intrinsics"
NAME = "frame_"


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    first = next(iter(sorted(data_dir.glob(f"{NAME}*.json"))), None)
    if first is None:
        return Fit(False, "", f"no {NAME}00000.json")
    try:
        content = read_json(first)
    except SceneError as error:
        return Fit(False, first.name, str(error).removeprefix(f"{first}: "))
    if not isinstance(content, dict) or POSE not in content:
        return Fit(False, "", f"{first.name} has no {POSE}")
    if not _photos(data_dir):
        return Fit(False, f"{first.name} with {POSE}", f"no {NAME}00000.jpg")
    return Fit(True, f"{first.name} with {POSE}, 3D Scanner App's")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the poses of all photos.

    Raises:
        SceneError: there are none, or a value in a file is wrong.
    """
    views, lonely = [], []
    for image in _photos(data_dir):
        path = image.with_suffix(".json")
        if not path.is_file():
            lonely.append(image.name)
            continue
        content = read_json(path)
        if not isinstance(content, dict):
            raise SceneError(f"{path}: must hold a JSON object")
        where, size = str(path), read_header(image).stored_size
        pose = numbers(where, POSE, content.get(POSE), 16).reshape(4, 4)[:3]
        matrix = numbers(where, LENS, content.get(LENS), 9).reshape(3, 3).tolist()
        (fx, _, cx), (_, fy, cy), _ = matrix
        views.append(View(where, image.name, pose, Lens(*size, fx=fx, fy=fy, cx=cx, cy=cy)))
    if lonely:
        warn_once(
            f"{data_dir}: {len(lonely)} photos have no JSON file with a pose and are left out "
            f"({lonely[0]})"
        )
    return description_of(data_dir, data_dir, views, options, folders=(".",), y_is_up=True)


def _photos(data_dir: Path) -> list[Path]:
    return [path for path in list_images(data_dir) if path.name.startswith(NAME)]
