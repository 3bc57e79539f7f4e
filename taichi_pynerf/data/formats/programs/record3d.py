"""Record3D's export as EXR and JPG: `rgb/0.jpg` … and one `metadata.json`.

"poses" holds for each image x, y, z, w of a quaternion and a position, camera-to-world in OpenGL
axes and metres. "K" is the lens's matrix column by column. In newer exports
"perFrameIntrinsicCoeffs" holds fx, fy, cx, cy of each image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens
from taichi_pynerf.data.formats.programs.views import (
    View,
    checked_quaternion,
    description_of,
    image_side,
    numbers,
)
from taichi_pynerf.data.image_files import list_images
from taichi_pynerf.data.scene_files import LoadOptions, read_json, warn_once
from taichi_pynerf.errors import SceneError

FILE_NAME = "metadata.json"
PLACES = (".", "EXR_RGBD")
IMAGES = "rgb"


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    for place in PLACES:
        path = data_dir / place / FILE_NAME
        if not path.is_file():
            continue
        try:
            content = read_json(path)
        except SceneError:
            continue
        if isinstance(content, dict) and "poses" in content:
            if not (data_dir / place / IMAGES).is_dir():
                return Fit(False, f"{FILE_NAME} with poses", f"no folder {IMAGES}")
            return Fit(True, f"{FILE_NAME} with poses, Record3D's")
    return Fit(False, "", f"no {FILE_NAME} with poses beside a folder {IMAGES}")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the poses of all images.

    Raises:
        SceneError: there are none, or a value in the file is wrong.
    """
    base = next((data_dir / p for p in PLACES if (data_dir / p / FILE_NAME).is_file()), data_dir)
    path = base / FILE_NAME
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("poses"), list):
        raise SceneError(f"{path}: it must hold a JSON object with a list of poses")
    poses = content["poses"]
    width, height = (image_side(str(path), name, content.get(name)) for name in "wh")
    matrix = numbers(str(path), "K", content.get("K"), 9).reshape(3, 3).T
    common = np.array([matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]])
    each = content.get("perFrameIntrinsicCoeffs")
    each = each if isinstance(each, list) and len(each) == len(poses) else None
    images = {image.stem: image for image in list_images(base / IMAGES)}
    views = []
    for i, values in enumerate(poses):
        where = f"{path}: poses[{i}]"
        x, y, z, w, *position = numbers(where, "a pose", values, 7).tolist()
        rotation = checked_quaternion(where, x, y, z, w)
        lens = common if each is None else numbers(where, "its lens", each[i], 4)
        image = images.pop(str(i), None)
        name = str(Path(IMAGES) / f"{i}.jpg") if image is None else str(image.relative_to(data_dir))
        fx, fy, cx, cy = map(float, lens)
        views.append(
            View(
                where, name, np.column_stack([rotation, position]),
                Lens(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy),
            )
        )  # fmt: skip
    if images:
        warn_once(f"{path}: {len(images)} images in {IMAGES} have no pose and are not used")
    return description_of(data_dir, path, views, options, folders=(".",))
