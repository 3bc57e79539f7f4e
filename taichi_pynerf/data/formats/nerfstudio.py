"""nerfstudio's and instant-ngp's scenes: one `transforms.json` with the intrinsics of the lens.

Format: https://docs.nerf.studio/quickstart/data_conventions.html and instant-ngp's documentation.
Intrinsics are in the file, or in a frame, which takes precedence. Poses are camera-to-world in
OpenGL axes. Splits follow `train_filenames` and the like. Without them nerfstudio's rule holds:
sorted by path, nine tenths of the images are for training, evenly spaced; the others are held out.
If COLMAP's model is there too (`colmap/sparse/0`), it says which images see which sparse points.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from taichi_pynerf.data.aim import looks_outwards
from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.colmap import largest_model, model_folders
from taichi_pynerf.data.formats.fit import Fit, frames_in
from taichi_pynerf.data.formats.frames import (
    IMAGE_FOLDERS,
    Frame,
    circle_radius,
    depth_unit,
    lens_of,
    number_or,
    read_frames,
)
from taichi_pynerf.data.formats.lenses import cameras_from_lenses
from taichi_pynerf.data.formats.photos import tell_idle, tell_missing
from taichi_pynerf.data.formats.poses import checked_pose
from taichi_pynerf.data.formats.sparse_points import (
    near_of_points,
    read_ply_points,
    same_cameras,
)
from taichi_pynerf.data.image_files import image_names
from taichi_pynerf.data.images import read_header
from taichi_pynerf.data.placement import AS_IT_IS, FROM_CAMERAS, MAX_COORDINATE, Placement
from taichi_pynerf.data.scene_files import LoadOptions, checked_text, shown, warn_once
from taichi_pynerf.errors import MissingPackageError, SceneError

FILE_NAME = "transforms.json"
MOST = 50  # other JSON files that are looked into; some programs write one for each image
SPLITS = ("train", "val", "test")
TRAIN_SHARE = 0.9

NGP_SCALE, NGP_OFFSET = 0.33, 0.5
"""instant-ngp maps a scene into its unit cube by `scale * x + offset`; these are its defaults."""


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    path = data_dir / FILE_NAME
    if not path.is_file():
        others = [
            path
            for path in sorted(p for p in data_dir.iterdir() if p.suffix.lower() == ".json")[:MOST]
            if path.is_file() and frames_in(path)[0]
        ]
        if not others:
            return Fit(False, "", f"no {FILE_NAME}")
        names = ", ".join(p.name for p in others)
        return Fit(False, names, f"no {FILE_NAME} (give {others[0]} itself to load it)")
    count, fault = frames_in(path)
    if fault:
        return Fit(False, FILE_NAME, f"{FILE_NAME}: {fault}", is_claimed=True)
    return Fit(True, f"{FILE_NAME} of {count} frames")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check `transforms.json`. Frames without their image are left out, with a warning.

    Args:
        data_dir: the scene folder, or a file of another name in place of its `transforms.json`.

    Raises:
        SceneError: the file or all of its images are missing, or a value in it is wrong.
    """
    path = data_dir if data_dir.is_file() else data_dir / FILE_NAME
    content, all_frames = read_frames(path, options, search=True)
    missing = [frame.file_path for frame in all_frames if frame.image_path is None]
    tell_missing(path, missing, len(all_frames))
    frames = [frame for frame in all_frames if frame.image_path is not None]
    frames.sort(key=lambda frame: frame.file_path)
    images = [frame.image_path for frame in frames if frame.image_path is not None]
    depths = [frame.depth_path for frame in frames if frame.depth_path is not None]
    tell_idle(path, [*images, *depths], IMAGE_FOLDERS, data_dir=path.parent)
    bounded = number_or(str(path), content, "aabb_scale", 1e-6, 1e6, math.inf) <= 1.0
    applied = None
    if content.get("applied_transform") is not None:
        applied = checked_pose(str(path), content["applied_transform"], "applied_transform")
    applied_scale = number_or(str(path), content, "applied_scale", 1e-6, 1e6, 1.0)
    if applied is None and applied_scale != 1.0:
        applied = np.eye(4)[:3]
    poses = np.stack([frame.pose() for frame in frames])
    lenses = [lens_of(frame, _stored_size(frame)) for frame in frames]
    if looks_outwards(poses):
        warn_once(
            f"{path}: the cameras look away from each other and from what is amid them. That is "
            "right where views are taken from within; else poses are world-to-camera, or their "
            "cameras have y down (OpenCV), where OpenGL's y up is meant"
        )
    points = None if bounded else _points(path, content, options)
    near = None if points is None else near_of_points(cameras_from_lenses(poses, lenses), points)
    return Description(
        data_dir=path.parent,
        origin=path,
        names=image_names([frame.file_path for frame in frames]),
        image_paths=images,
        poses=poses,
        lenses=lenses,
        splits=_splits(path, content, frames, all_frames),
        placement=_default_placement(str(path), content, bounded, has_points=points is not None),
        unbounded=not bounded,
        near=near,
        points=points,
        applied=applied,
        applied_scale=applied_scale,
        mask_paths=[frame.mask_path for frame in frames],
        circle_radii=[circle_radius(frame) for frame in frames],
        depth_paths=[frame.depth_path for frame in frames],
        depth_units=[depth_unit(frame) for frame in frames],
        sightings=None if bounded else _sightings(path, frames, poses),
        file_scale=frames[0].file_scale,
    )


def _stored_size(frame: Frame) -> tuple[int, int]:
    if frame.image_path is None or frame.says_its_size():
        return 1, 1  # never used
    width, height = read_header(frame.image_path).stored_size
    return width * frame.file_scale, height * frame.file_scale


def _splits(
    path: Path, content: dict, frames: list[Frame], all_frames: list[Frame]
) -> dict[str, list[int]]:
    """The frames of each split; empty splits are left out."""
    if len({frame.is_test for frame in frames}) == 2:
        tests = [i for i, frame in enumerate(frames) if frame.is_test]
        others = [i for i, frame in enumerate(frames) if not frame.is_test]
        return {"train": others, "val": tests, "test": tests}
    if not any(f"{split}_filenames" in content for split in SPLITS):
        # At least one is held out if there are two or more.
        num_train = min(math.ceil(TRAIN_SHARE * len(frames)), max(len(frames) - 1, 1))
        train = {int(i) for i in np.linspace(0, len(frames) - 1, num_train)}
        held = [i for i in range(len(frames)) if i not in train]
        splits = {"train": sorted(train), "val": held, "test": held}
        return {split: views for split, views in splits.items() if views}
    known = {_listed(frame.file_path) for frame in all_frames}
    splits, listed_views = {}, set()
    for split in SPLITS:
        listed = content.get(f"{split}_filenames")
        if listed is None:
            continue
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise SceneError(f"{path}: {split}_filenames must be a list of file paths")
        wanted = {_listed(name) for name in listed}
        strangers = wanted - known
        if strangers:
            warn_once(
                f"{path}: {split}_filenames: {len(strangers)} of {len(wanted)} names are of no "
                f"frame and left out: {', '.join(sorted(map(shown, map(str, strangers))))}"
            )
        splits[split] = [i for i, frame in enumerate(frames) if _listed(frame.file_path) in wanted]
        listed_views.update(splits[split])
    if "train" not in splits:
        splits["train"] = [i for i in range(len(frames)) if i not in listed_views]
        warn_once(
            f"{path}: no train_filenames: the {len(splits['train'])} frames that are in no other "
            "list train"
        )
    return {split: splits[split] for split in SPLITS if splits.get(split)}


def _listed(file_path: str) -> PurePosixPath:
    """A path in the form in which lists and frames are compared."""
    return PurePosixPath(file_path.replace("\\", "/"))


def _points(path: Path, content: dict, options: LoadOptions) -> np.ndarray | None:
    """The sparse points [K, 3] of `ply_file_path`, in the file's coordinates, if there are any."""
    if content.get("ply_file_path") is None:
        return None
    name = checked_text(str(path), content, "ply_file_path")
    file = path.parent / name
    try:
        inside = file.resolve().is_relative_to(path.parent.resolve())
        is_there = file.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, a loop of links
        raise SceneError(f"{path}: ply_file_path {shown(name)} is not a file path") from None
    if not inside and not options.allow_external_paths:
        raise SceneError(
            f"{path}: ply_file_path {shown(name)} leads out of {path.parent}; move the file into "
            "the folder, or load the scene with allow_external_paths (--allow_external_paths)"
        )
    if not is_there:
        warn_once(f"{path}: ply_file_path {shown(name)} is not there: placed by the cameras alone")
        return None
    points = read_ply_points(file)
    if points is None:
        warn_once(
            f"{file}: these points place the scene better than the cameras alone, and plyfile, "
            'which reads them, is not installed: pip install "taichi-pynerf[colmap]"'
        )
    return points if points is not None and len(points) else None


def _sightings(
    path: Path, frames: list[Frame], poses: np.ndarray
) -> list[np.ndarray | None] | None:
    """What each frame sees of the points of COLMAP's model beside it; None if there is none.

    The model may be in other coordinates, as long as its cameras stand to each other as those of
    the frames do.
    """
    folders = model_folders(path.parent)
    if not folders:
        return None
    try:
        folder, model = largest_model(folders)
    except (SceneError, MissingPackageError) as error:
        warn_once(f"{path}: which image sees which sparse point is not used: {error}")
        return None
    where = {name: i for i, name in enumerate(model.names)}
    found = [_in_model(frame.file_path, where) for frame in frames]
    ours = [i for i, match in enumerate(found) if match is not None]
    theirs = [match for match in found if match is not None]
    scale = same_cameras(poses[ours][:, :, 3], model.poses[theirs][:, :, 3])
    if scale is None:
        warn_once(
            f"{folder}: {len(ours)} of {len(frames)} frames of {path.name} are images of this "
            "model, and they stand otherwise there: its points are not used"
        )
        return None
    units = np.array([1.0, 1.0, scale])
    return [None if match is None else model.sightings[match] * units for match in found]


def _in_model(file_path: str, names: dict[str, int]) -> int | None:
    """The image of a model that a frame shows: the longest end of its path that is a name."""
    parts = _listed(file_path).parts
    ends = ("/".join(parts[first:]) for first in range(len(parts)))
    return next((names[end] for end in ends if end in names), None)


def _default_placement(
    where: str, content: dict, bounded: bool, has_points: bool = False
) -> Placement:
    """The placement of the scene unless the user gives one.

    A `scale` or an `offset` gives the position of instant-ngp's unit cube in the file's
    coordinates. With either, and in bounded scenes, coordinates are kept and the box is that cube.
    Otherwise the scene is placed as in nerfstudio.
    """
    if not bounded and "scale" not in content and "offset" not in content:
        center = "points" if has_points else FROM_CAMERAS.center
        return replace(FROM_CAMERAS, orientation=_orientation(where, content), center=center)
    scale = number_or(where, content, "scale", 1e-6, 1e6, NGP_SCALE)
    offset = content.get("offset", [NGP_OFFSET] * 3)
    good = isinstance(offset, list) and len(offset) == 3
    if not good or not all(type(v) is float and abs(v) <= MAX_COORDINATE for v in offset):
        raise SceneError(f"{where}: offset is {shown(offset)}: it must be three numbers")
    box = (*(-v / scale for v in offset), *((1.0 - v) / scale for v in offset))
    if max(map(abs, box)) > MAX_COORDINATE:
        raise SceneError(f"{where}: scale and offset give a box beyond {MAX_COORDINATE:g}")
    return replace(AS_IT_IS, aabb=box)


def _orientation(where: str, content: dict) -> str:
    """The file's `orientation_override`, or nerfstudio's default."""
    override = content.get("orientation_override", FROM_CAMERAS.orientation)
    if override not in ("up", "vertical", "pca", "none"):
        raise SceneError(f"{where}: orientation_override is {shown(override)}, which is not known")
    return override
