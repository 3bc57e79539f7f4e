"""Multi-scale Blender scenes as Mip-NeRF's converter writes them: all scales as files of their own.

Format: Barron et al., Mip-NeRF (ICCV 2021). One `metadata.json` holds an object for each split, of
lists with an entry per image: `file_path` relative to the folder, `cam2world` in OpenGL axes,
`width`, `height`, `focal`, `pix2cam`, `label` (the image is reduced 2**label times), `lossmult`
(the area of its pixels in full-size pixels), `near` and `far`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.data.formats.poses import checked_pose
from taichi_pynerf.data.placement import AS_IT_IS, transform_from_poses
from taichi_pynerf.data.scene_files import (
    LoadOptions,
    SceneFiles,
    checked_number,
    checked_text,
    find_image,
    read_json,
    shown,
)
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.cameras import Cameras

PLACEMENT = replace(AS_IT_IS, scene_scale=1.5)
MAX_SIDE = 1e5
MAX_LABEL = 16


def detect(data_dir: Path) -> bool:
    """Whether the folder looks like a scene of this format."""
    return (data_dir / "metadata.json").is_file()


def splits(data_dir: Path) -> list[str]:
    """The splits that the description has an object for."""
    return sorted(_read(data_dir / "metadata.json"))


def parse(data_dir: Path, split: str, options: LoadOptions) -> SceneFiles:
    """Read and check one split of `metadata.json`, with the images of all scales.

    Raises:
        SceneError: the file or an image it names is missing, or something in it is wrong.
    """
    path = data_dir / "metadata.json"
    columns = _read(path)[split]
    where = f"{path}: {split}"
    frames = _frames(where, columns)
    paths, poses, intrinsics = [], [], []
    for frame_where, frame in frames:
        file_path = checked_text(frame_where, frame, "file_path")
        paths.append(find_image(data_dir, file_path, frame_where, options))
        poses.append(checked_pose(frame_where, frame.get("cam2world"), "cam2world"))
        intrinsics.append(_intrinsics(frame_where, frame))
    labels = [_label(*frame) for frame in frames]
    nears, fars = (
        [checked_number(*frame, name, 0.0, 1e6) for frame in frames] for name in ("near", "far")
    )
    if min(fars) <= max(nears):
        raise SceneError(f"{where}: near must be less than far")
    transform = transform_from_poses(
        np.stack(poses), placement := options.placement.or_else(PLACEMENT)
    )
    placed = transform.apply_to_poses(np.stack(poses))
    fx, fy, cx, cy, width, height = torch.tensor(intrinsics).unbind(-1)
    return SceneFiles(
        image_paths=paths,
        cameras=Cameras(
            c2w=torch.from_numpy(placed).float(),
            fx=fx,
            fy=fy,
            cx=cx,
            cy=cy,
            width=width.long(),
            height=height.long(),
        ),
        names=[_name(path.stem, label) for path, label in zip(paths, labels, strict=True)],
        near=min(nears) * transform.scale,
        far=max(fars) * transform.scale,
        aabb=placement.box(),
        split=split,
        transform=transform,
        scales=2 ** torch.tensor(labels),
        pixel_weights=torch.tensor(
            [checked_number(*frame, "lossmult", 1e-6, 1e9) for frame in frames]
        ),
    )


def _read(path: Path) -> dict[str, dict]:
    """{split: columns}, of the splits that there are."""
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise SceneError(f"{path}: must hold a JSON object with an object for each split")
    return content


def _frames(where: str, columns: dict) -> list[tuple[str, dict]]:
    """A place, for messages, and an object for each image, from lists with an entry for each."""
    lists = {name: values for name, values in columns.items() if isinstance(values, list)}
    paths = lists.get("file_path")
    if not paths:
        raise SceneError(f"{where}: file_path must be a list of at least one image")
    for name, values in lists.items():
        if len(values) != len(paths):
            raise SceneError(f"{where}: {len(values)} of {shown(name)} for {len(paths)} images")
    return [
        (f"{where}[{i}]", {name: values[i] for name, values in lists.items()})
        for i in range(len(paths))
    ]


def _intrinsics(where: str, frame: dict) -> list[float]:
    """fx, fy, cx, cy, width and height; from `pix2cam` if it is there, else from `focal`."""
    width, height = (
        float(round(checked_number(where, frame, name, 1.0, MAX_SIDE)))
        for name in ("width", "height")
    )
    if "pix2cam" not in frame:
        focal = checked_number(where, frame, "focal", 1e-3, 1e7)
        return [focal, focal, 0.5 * width, 0.5 * height, width, height]
    matrix = frame["pix2cam"]
    is_matrix = (
        isinstance(matrix, list)
        and len(matrix) == 3
        and all(isinstance(row, list) and len(row) == 3 for row in matrix)
        and all(type(value) is float for row in matrix for value in row)
    )
    if not is_matrix:
        raise SceneError(f"{where}: pix2cam must be 3 rows of 3 numbers")
    (a, b, c), (d, e, f), last = matrix
    if not (1e-7 <= a <= 1e3 and 1e-7 <= -e <= 1e3 and b == d == 0.0 and last == [0.0, 0.0, -1.0]):
        raise SceneError(
            f"{where}: pix2cam must be [1/fx, 0, -cx/fx], [0, -1/fy, cy/fy], [0, 0, -1]"
        )
    fx, fy, cx, cy = 1.0 / a, -1.0 / e, -c / a, -f / e
    if not (abs(cx) <= 10.0 * width and abs(cy) <= 10.0 * height):
        raise SceneError(f"{where}: pix2cam puts the principal point far outside of the image")
    return [fx, fy, cx, cy, width, height]


def _label(where: str, frame: dict) -> int:
    label = checked_number(where, frame, "label", 0.0, MAX_LABEL)
    if label != int(label):
        raise SceneError(f"{where}: label must be a whole number, not {label}")
    return int(label)


def _name(stem: str, label: int) -> str:
    """The view's name, the same at all scales."""
    return stem.removesuffix(f"_d{label}")
