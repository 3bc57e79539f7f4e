"""Detecting the format of a folder, finding the scene in it, and saying what a folder lacks."""

from __future__ import annotations

import re
from pathlib import Path

from taichi_pynerf.data.formats import (
    blender,
    colmap,
    llff,
    mipnerf360,
    multiscale_blender,
    nerfstudio,
)
from taichi_pynerf.data.formats.fit import Fit, frames_in
from taichi_pynerf.data.formats.programs import (
    arkitscenes,
    kapture,
    metashape,
    neus,
    opensfm,
    polycam,
    pose_files,
    realitycapture,
    record3d,
    scanner_app,
    sdfstudio,
)
from taichi_pynerf.data.formats.unread import other_file, telling_file, what_is
from taichi_pynerf.data.image_files import (
    PHOTO_SUFFIXES,
    SIBLINGS,
    counted_suffixes,
    list_photos,
    subfolders,
)
from taichi_pynerf.data.scene_files import shown, warn_once
from taichi_pynerf.errors import SceneError

FORMATS = {
    "blender": blender,
    "multiscale-blender": multiscale_blender,
    "nerfstudio": nerfstudio,
    "llff": llff,
    "mipnerf360": mipnerf360,
    "colmap": colmap,
    "metashape": metashape,
    "realitycapture": realitycapture,
    "opensfm": opensfm,
    "polycam": polycam,
    "record3d": record3d,
    "kapture": kapture,
    "pose-files": pose_files,
    "neus": neus,
    "sdfstudio": sdfstudio,
    "scanner-app": scanner_app,
    "arkitscenes": arkitscenes,
}
"""Known formats by name, in the order in which they are compared with a folder. Each is a module
with

- `probe(data_dir) -> Fit`: how well a folder fits this format, and
- `read(data_dir, options) -> Description`: the whole scene, read and checked.
"""

FORMAT_OF_FILE = {
    "transforms.json": "nerfstudio",
    "metadata.json": "multiscale-blender",
    "poses_bounds.npy": None,
}
"""The format of a folder, by the name of a file in it; None if the name leaves it open."""

DEEPEST, MOST_FOLDERS = 4, 100
"""Levels of subfolders that are searched for scenes, and the most folders of a level."""

PARTS = (
    *SIBLINGS, "sparse", "colmap", "dense", "distorted", "undistorted", "stereo", "keyframes",
    "cameras", "corrected_images", "corrected_cameras", "sensors", "pose", "poses", "intrinsics",
)  # fmt: skip
"""Folders in a scene. A folder of another name below a scene is something else."""


def detect_dataset_type(data_dir: str | Path) -> str:
    """The name of the format that a scene folder is in.

    Raises:
        SceneError: the folder is absent or in no known format; the message names the nearest.
    """
    return locate_scene(data_dir)[1]


def probe_formats(data_dir: Path) -> dict[str, Fit]:
    """How well a folder fits each format."""
    return {name: scene_format.probe(data_dir) for name, scene_format in FORMATS.items()}


def locate_scene(data_dir: str | Path, dataset_type: str | None = None) -> tuple[Path, str]:
    """The folder of a scene, or the file in place of its `transforms.json`, and its format.

    Args:
        data_dir: the scene folder, or a file in it.
        dataset_type: one of `FORMATS`; by default it is detected. If several fit, the first is
            used, and a warning says how to choose another.

    Raises:
        SceneError: there is no such folder, or it is in no known format.
    """
    data_dir, named = _folder_of(Path(data_dir))
    dataset_type = dataset_type or named
    if dataset_type is not None:
        if dataset_type not in FORMATS:
            raise SceneError(
                f"dataset_type {dataset_type!r} is not known; known: {', '.join(FORMATS)}"
            )
        return data_dir, dataset_type
    fits = probe_formats(data_dir)
    fitting = [name for name, fit in fits.items() if fit.fits]
    if "mipnerf360" in fitting and "colmap" in fitting:
        fitting.remove("colmap")  # the other format reads the sparse model too
    if "nerfstudio" in fitting and (data_dir / "colmap").is_dir() and "colmap" in fitting:
        fitting.remove("colmap")  # nerfstudio's own place for the model of its frames
    if len(fitting) > 1:
        first, *others = fitting
        warn_once(
            f"{data_dir}: read as {first}, for it has {fits[first].found}; "
            + "; ".join(
                f"it also has {fits[name].found} (--dataset_type {name})" for name in others
            )
        )
    claimed = [name for name, fit in fits.items() if fit.is_claimed]
    if fitting or claimed:  # reading a broken description says what is wrong
        return data_dir, (fitting or claimed)[0]
    raise SceneError(
        f"{data_dir}: no scene of a known format found here: {nearest_scene(data_dir, fits)}"
    )


def nearest_scene(data_dir: Path, fits: dict[str, Fit]) -> str:
    """What a folder that fits no format was probably meant to be, and what it lacks."""
    inside = scenes_inside(data_dir)
    if inside:
        listed = ", ".join(f"{name} ({kind})" for name, kind in list(inside.items())[:6])
        return f"scenes are in its folders: {listed}: give one of them"
    above = _scene_above(data_dir)
    if above:
        return above
    unread = telling_file(data_dir)
    if unread:
        return unread
    near = {name: fit for name, fit in fits.items() if fit.found}
    if near:
        name, fit = next(iter(near.items()))
        return f"nearest is {name}: there is {fit.found}; first missing: {fit.missing}"
    unread = other_file(data_dir)
    if unread:
        return unread
    photos = list_photos(data_dir, deep=True)
    if photos:
        return (
            f"there are {counted_suffixes(photos)} without cameras: make a scene of them first "
            "(pynerf-photos, docs/your_own_photos.md)"
        )
    what = "nothing of a scene is in it" if any(data_dir.iterdir()) else "it is empty"
    return (
        f"{what}; give the folder that holds transforms.json, transforms_train.json, "
        "metadata.json, poses_bounds.npy, sparse/0 or a program's export "
        f"({', '.join(FORMATS)})"
    )


def _scene_above(data_dir: Path) -> str:
    """Where the scene is that this folder seems to be a part of; empty if there is none."""
    folder = data_dir.absolute()
    for _ in range(2):
        name = re.sub(r"_\d+$", "", folder.name)
        if name not in PARTS and not name.isdigit():
            return ""
        folder = folder.parent
        kind = _first_fit(folder)
        if kind:
            return f"the folder above is a scene ({kind}): give {folder}"
    return ""


def scenes_inside(data_dir: Path) -> dict[str, str]:
    """The formats of the scenes below a folder, by their paths from there."""
    found: dict[str, str] = {}
    level = [data_dir]
    for _ in range(DEEPEST):
        inner = [path for folder in level for path in subfolders(folder)[:MOST_FOLDERS]]
        level = inner[:MOST_FOLDERS]
        kinds = {folder: _first_fit(folder) for folder in level}
        found |= {str(f.relative_to(data_dir)): kind for f, kind in kinds.items() if kind}
        level = [folder for folder, kind in kinds.items() if not kind]
    return found


def _first_fit(folder: Path) -> str | None:
    return next((name for name, fit in probe_formats(folder).items() if fit.fits), None)


def _folder_of(data_dir: Path) -> tuple[Path, str | None]:
    """The scene folder, and the format by the name of the file, if a file was given."""
    try:
        if not data_dir.exists():
            raise SceneError(f"{data_dir}: no such folder")
        if data_dir.is_dir():
            return data_dir, None
    except OSError as error:
        raise SceneError(f"{shown(str(data_dir))}: cannot be read ({error.strerror})") from None
    name = data_dir.name
    if name in FORMAT_OF_FILE:
        return data_dir.parent, FORMAT_OF_FILE[name]
    if name in ("transforms_train.json", "transforms_val.json", "transforms_test.json"):
        return data_dir.parent, "blender"
    if data_dir.stem in ("cameras", "images", "points3D") and data_dir.suffix in (".bin", ".txt"):
        return data_dir.parent, None
    if frames_in(data_dir)[0]:
        return data_dir, "nerfstudio"
    for kind, fit in probe_formats(data_dir.parent).items():
        if fit.fits and fit.found.startswith(name):
            return data_dir.parent, kind
    what = what_is(data_dir)
    if data_dir.suffix.lower() in PHOTO_SUFFIXES:
        what = "a photograph, not a folder: give that of the scene, or photos to pynerf-photos"
    raise SceneError(f"{data_dir}: {what or 'not a folder; give the folder that holds the scene'}")
