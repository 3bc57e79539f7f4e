"""A text file with the pose of each image, as NSVF, NeRF++, ScanNet and others have them.

Poses are camera-to-world matrices in OpenCV's axes, `pose/NAME.txt` for `rgb/NAME.png`. Intrinsics
are in `intrinsics.txt` (NSVF: focal length and principal point, or a matrix), in
`intrinsic/intrinsic_color.txt` (ScanNet), or in one file for each image (NeRF++). NSVF marks splits
by the first letter of a name, 0, 1 or 2; NeRF++ has a folder for each.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens
from taichi_pynerf.data.formats.poses import opengl_pose
from taichi_pynerf.data.formats.programs.views import View, description_of, numbers
from taichi_pynerf.data.image_files import list_images
from taichi_pynerf.data.images import read_header
from taichi_pynerf.data.placement import AS_IT_IS, MAX_COORDINATE
from taichi_pynerf.data.scene_files import LoadOptions, note, read_text, shown, warn_once
from taichi_pynerf.errors import SceneError

SPLIT_FOLDERS = {"train": "train", "validation": "val", "val": "val", "test": "test"}
SPLIT_LETTERS = {"0": "train", "1": "val", "2": "test"}
IMAGE_FOLDERS = ("rgb", "color", "images", "image")
LENS_FILES = ("intrinsics.txt", "intrinsic/intrinsic_color.txt", "intrinsic/intrinsics.txt")
BOX_FILE = "bbox.txt"


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    places = _places(data_dir)
    if not places:
        return Fit(False, "", "no pose/NAME.txt beside rgb/NAME.png")
    poses, images = places[0]
    where = f"{poses.relative_to(data_dir)}/NAME.txt"
    if images is None:
        return Fit(False, where, f"no folder of images beside it: {', '.join(IMAGE_FOLDERS)}")
    if not (_common_lens(data_dir) or (poses.parent / "intrinsics").is_dir()):
        return Fit(False, where, f"no {LENS_FILES[0]}")
    return Fit(True, f"{where} for the images in {images.relative_to(data_dir)}")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the poses of all images.

    Raises:
        SceneError: there are none, or a value in a file is wrong.
    """
    views, lost = [], []
    common, places = _common_lens(data_dir), _places(data_dir)
    if not places:
        raise SceneError(f"{data_dir}: no pose/NAME.txt beside rgb/NAME.png")
    for poses, folder in places:
        note(poses)
        images = {path.stem: path for path in list_images(folder)} if folder else {}
        for path in sorted(poses.glob("*.txt")):
            image = images.get(path.stem)
            matrix = _matrix(path, read_text(path).split())
            if not np.isfinite(matrix).all():  # where tracking was lost
                lost.append(path.name)
                continue
            name = path.stem if image is None else str(image.relative_to(data_dir))
            own = poses.parent / "intrinsics" / path.name
            lens = own if own.is_file() else common
            if lens is None:
                raise SceneError(f"{data_dir}: no {LENS_FILES[0]}, and no {own}")
            size = (1, 1) if image is None else read_header(image).stored_size
            pose = opengl_pose(matrix[:, :3], matrix[:, 3])
            views.append(View(str(path), name, pose, _lens(lens, size)))
    if lost:
        warn_once(
            f"{data_dir}: {len(lost)} poses are not finite, and these views are left out "
            f"({shown(', '.join(lost))})"
        )
    scene = description_of(data_dir, places[0][0], views, options, folders=(".",))
    splits = _splits(data_dir, scene)
    box = _box(data_dir)
    if splits:
        scene = replace(scene, splits=splits, own_splits=True)
    return scene if box is None else replace(
        scene, placement=replace(AS_IT_IS, aabb=box), unbounded=False
    )  # fmt: skip


def _places(data_dir: Path) -> list[tuple[Path, Path | None]]:
    """Folders of poses, each with its folder of images."""
    found = []
    for top in (data_dir, *(data_dir / name for name in SPLIT_FOLDERS)):
        for name in ("pose", "poses"):
            poses = top / name
            if poses.is_dir() and any(poses.glob("*.txt")):
                folders = (top / folder for folder in IMAGE_FOLDERS)
                found.append((poses, next((f for f in folders if f.is_dir()), None)))
    return found


def _common_lens(data_dir: Path) -> Path | None:
    return next((data_dir / name for name in LENS_FILES if (data_dir / name).is_file()), None)


def _matrix(path: Path, words: list[str]) -> np.ndarray:
    """The upper three rows [3, 4] of a matrix, which may hold infinity."""
    if len(words) not in (12, 16):
        raise SceneError(f"{path}: must hold 4 rows of 4 numbers (or 3 rows of 4)")
    try:
        values = np.array([float(word) for word in words[:12]])
    except ValueError:
        raise SceneError(f"{path}: must hold numbers, not {shown(words)}") from None
    return values.reshape(3, 4)


def _lens(path: Path, size: tuple[int, int]) -> Lens:
    """The lens of a file: a matrix of 3x3, 3x4 or 4x4, or NSVF's `f cx cy 0` and more lines."""
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    words = [word for line in lines for word in line]
    if len(words) in (9, 16) or (len(words) == 12 and len(lines) in (1, 3)):
        matrix = numbers(str(path), "the matrix", words, len(words))
        matrix = matrix.reshape(-1, 3 if len(words) == 9 else 4)
        fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    elif lines and len(lines[0]) >= 3:
        fx, cx, cy = numbers(str(path), "the first line", lines[0][:3], 3)
        fy = fx
    else:
        raise SceneError(
            f"{path}: must hold a focal length and a principal point, or a matrix of 3x3, 3x4 or "
            "4x4"
        )
    return Lens(*size, fx=float(fx), fy=float(fy), cx=float(cx), cy=float(cy))


def _splits(data_dir: Path, scene: Description) -> dict[str, list[int]]:
    """The splits that folders or first letters give; none if they do not."""
    paths = [path for path in scene.image_paths if path is not None]
    tops = [path.relative_to(data_dir).parts[0] for path in paths]
    if all(top in SPLIT_FOLDERS for top in tops):
        names = [SPLIT_FOLDERS[top] for top in tops]
    elif all(path.name[:2] in ("0_", "1_", "2_") for path in paths):
        names = [SPLIT_LETTERS[path.name[0]] for path in paths]
    else:
        return {}
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        found.setdefault(name, []).append(i)
    if "val" in found and "test" not in found:  # NSVF's photographs, whose "1_" are the test views
        found["test"] = found["val"]
    return found if "train" in found else {}


def _box(data_dir: Path) -> tuple[float, ...] | None:
    """NSVF's box: the least and greatest corner, and the size of a voxel."""
    path = data_dir / BOX_FILE
    if not path.is_file():
        return None
    words = read_text(path).split()[:6]
    box = numbers(str(path), "the box", words, 6)
    if not (box[:3] < box[3:]).all() or np.abs(box).max() > MAX_COORDINATE:
        raise SceneError(f"{path}: {shown(words)} are no two corners of a box")
    return tuple(box.tolist())
