"""Multi-scale Blender scenes as Mip-NeRF's converter writes them, with files for every scale.

Format: Barron et al., Mip-NeRF (ICCV 2021). One `metadata.json` holds an object for each split. Its
members are lists with an entry per image: `file_path` relative to the folder, `cam2world` in OpenGL
axes, `width`, `height`, `focal`, `pix2cam`, `label` (the image is reduced 2**label times),
`lossmult` (the area of its pixels in full-size pixels), `near` and `far`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import MAX_FOCAL, MAX_SIDE, Lens
from taichi_pynerf.data.formats.poses import checked_pose
from taichi_pynerf.data.image_files import ImageFinder, image_names
from taichi_pynerf.data.placement import AS_IT_IS
from taichi_pynerf.data.scene_files import (
    LoadOptions,
    checked_number,
    checked_text,
    read_json,
    shown,
)
from taichi_pynerf.errors import SceneError

PLACEMENT = replace(AS_IT_IS, scene_scale=1.5)
FILE_NAME = "metadata.json"
COLUMNS = ("file_path", "cam2world", "label")
MAX_LABEL = 16


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    path = data_dir / FILE_NAME
    if not path.is_file():
        return Fit(False, "", f"no {FILE_NAME}")
    try:
        splits = _read(path)
    except SceneError as error:
        fault = str(error).removeprefix(f"{path}: ")
        return Fit(False, FILE_NAME, f"{FILE_NAME}: {fault}")
    if not any(any(name in columns for name in COLUMNS) for columns in splits.values()):
        lacking = "it has no object for a split with the list file_path: it is of something else"
        return Fit(False, FILE_NAME, f"{FILE_NAME}: {lacking}")
    return Fit(True, f"{FILE_NAME} with {', '.join(splits)}")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check all splits of `metadata.json`, with the images of all scales.

    Raises:
        SceneError: the file or an image that it names is missing, or a value in it is wrong.
    """
    path = data_dir / FILE_NAME
    finder = ImageFinder(data_dir, allow_external_paths=options.allow_external_paths)
    paths: list[Path] = []
    poses, lenses, labels, weights, nears, fars = [], [], [], [], [], []
    names: list[str] = []
    splits: dict[str, list[int]] = {}
    for split, columns in sorted(_read(path).items()):
        frames = _frames(f"{path}: {split}", columns)
        splits[split] = list(range(len(paths), len(paths) + len(frames)))
        for where, frame in frames:
            paths.append(_image(finder, where, frame))
            poses.append(checked_pose(where, frame.get("cam2world"), "cam2world"))
            lenses.append(_lens(where, frame))
            labels.append(_label(where, frame))
            weights.append(checked_number(where, frame, "lossmult", 1e-6, 1e9))
            nears.append(checked_number(where, frame, "near", 0.0, 1e6))
            fars.append(checked_number(where, frame, "far", 0.0, 1e6))
        names += _names(paths[-len(frames) :], labels[-len(frames) :])
    if not splits:
        raise SceneError(f"{path}: must hold a JSON object with an object for each split")
    if min(fars) <= max(nears):
        raise SceneError(f"{path}: {next(iter(splits))}: near must be less than far")
    return Description(
        data_dir=data_dir,
        origin=path,
        names=names,
        image_paths=paths,
        poses=np.stack(poses),
        lenses=lenses,
        splits=splits,
        placement=PLACEMENT,
        unbounded=False,
        near=min(nears),
        far=max(fars),
        fits_files=False,
        own_splits=True,
        scales=2 ** torch.tensor(labels),
        pixel_weights=torch.tensor(weights),
    )


def _read(path: Path) -> dict[str, dict]:
    """The splits that exist: {split: columns}."""
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise SceneError(f"{path}: must hold a JSON object with an object for each split")
    return content


def _frames(where: str, columns: dict) -> list[tuple[str, dict]]:
    """For each image its place, for messages, and its values, from lists with an entry each."""
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


def _image(finder: ImageFinder, where: str, frame: dict) -> Path:
    file_path = checked_text(where, frame, "file_path")
    path = finder.find_all([file_path], [where])[0]
    if path is None:
        raise SceneError(f"{where}: there is no image {shown(file_path)} in {finder.data_dir}")
    return path


def _lens(where: str, frame: dict) -> Lens:
    """The lens from `pix2cam` if that is given, else from `focal`."""
    width, height = (
        round(checked_number(where, frame, name, 1.0, MAX_SIDE)) for name in ("width", "height")
    )
    if "pix2cam" not in frame:
        focal = checked_number(where, frame, "focal", 1e-3, MAX_FOCAL)
        return Lens(width, height, focal, focal, 0.5 * width, 0.5 * height)
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
    return Lens(width, height, fx, fy, cx, cy)


def _label(where: str, frame: dict) -> int:
    label = checked_number(where, frame, "label", 0.0, MAX_LABEL)
    if label != int(label):
        raise SceneError(f"{where}: label must be a whole number, not {label}")
    return int(label)


def _names(paths: list[Path], labels: list[int]) -> list[str]:
    """Names of the views: the same at all scales, and different for each view of a scale."""
    names = [
        str(path.with_suffix("")).removesuffix(f"_d{label}")
        for path, label in zip(paths, labels, strict=True)
    ]
    distinct = list(dict.fromkeys(names))
    safe = dict(zip(distinct, image_names(distinct), strict=True))
    return [safe[name] for name in names]
