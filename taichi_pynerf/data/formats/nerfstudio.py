"""nerfstudio's and instant-ngp's scenes: one `transforms.json` with the intrinsics of the lens.

Format: https://docs.nerf.studio/quickstart/data_conventions.html and instant-ngp's documentation.
Intrinsics stand in the file or in a frame of it, which has the say; poses are camera-to-world in
OpenGL axes. Splits are what `train_filenames` and its like say, else nerfstudio's rule: of the
images in order of their paths, nine tenths train, evenly spaced, and the others are held out.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from taichi_pynerf.data.formats.lenses import FISHEYE_MODELS, Lens, cameras_from_lenses, check_model
from taichi_pynerf.data.formats.photos import fit_to_files, tell_missing
from taichi_pynerf.data.formats.poses import checked_pose, far_side, near_and_far
from taichi_pynerf.data.images import read_header
from taichi_pynerf.data.placement import (
    AS_IT_IS,
    FROM_CAMERAS,
    MAX_COORDINATE,
    Placement,
    transform_from_poses,
)
from taichi_pynerf.data.scene_files import (
    LoadOptions,
    SceneFiles,
    checked_number,
    checked_text,
    find_file,
    find_image,
    image_names,
    read_json,
    shown,
    warn_once,
)
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.distortion import COEFFICIENTS

SPLITS = ("train", "val", "test")
TRAIN_SHARE = 0.9

NGP_SCALE, NGP_OFFSET = 0.33, 0.5
"""instant-ngp maps a scene into its unit cube by `scale * x + offset`; these are its defaults."""

MAX_SIDE = 1e5
MAX_FOCAL = 1e7
MAX_COEFFICIENT = 1e3


class Frame(NamedTuple):
    """A frame whose image is there."""

    where: str
    entry: dict
    file_path: str
    image_path: Path


def detect(data_dir: Path) -> bool:
    """Whether the folder looks like a scene of this format."""
    return (data_dir / "transforms.json").is_file()


def splits(data_dir: Path) -> list[str]:
    """The splits that have images."""
    path = data_dir / "transforms.json"
    content, frames = _read(data_dir, LoadOptions(allow_external_paths=True))
    return [split for split in SPLITS if _indices(path, content, frames, split)]


def parse(data_dir: Path, split: str, options: LoadOptions) -> SceneFiles:
    """Read and check `transforms.json`. Frames without their image are left out, with a warning.

    Raises:
        SceneError: the file or all of its images are missing, or something in it is wrong.
    """
    path = data_dir / "transforms.json"
    content, frames = _read(data_dir, options)
    poses = np.stack(
        [
            checked_pose(frame.where, frame.entry.get("transform_matrix"), "transform_matrix")
            for frame in frames
        ]
    )
    bounded = _number(str(path), content, "aabb_scale", 1e-6, 1e6, default=math.inf) <= 1.0
    placement = options.placement.or_else(_default_placement(str(path), content, bounded))
    transform = transform_from_poses(poses, placement)
    poses = transform.apply_to_poses(poses)
    near, far = near_and_far(poses, placement.box())
    if "applied_transform" in content:
        applied = checked_pose(str(path), content["applied_transform"], "applied_transform")
        transform = transform.after(applied)
    indices = _indices(path, content, frames, split)
    files = SceneFiles(
        image_paths=[frame.image_path for frame in frames],
        cameras=cameras_from_lenses(poses, [_lens(frame, content) for frame in frames]),
        names=image_names([frame.file_path for frame in frames]),
        near=near,
        far=far_side(poses, placement.box()) if bounded else far,
        aabb=placement.box(),
        split=split,
        unbounded=not bounded,
        transform=transform,
        mask_paths=[_mask_path(data_dir, frame, options) for frame in frames],
    )
    return fit_to_files(files.select(indices), options.img_downscale)


def _read(data_dir: Path, options: LoadOptions) -> tuple[dict, list[Frame]]:
    """The file, and those of its frames that have an image, in order of their paths."""
    path = data_dir / "transforms.json"
    content = read_json(path)
    if not isinstance(content, dict):
        raise SceneError(f"{path}: must hold a JSON object with frames, not {shown(content)}")
    entries = content.get("frames")
    if not isinstance(entries, list) or not entries:
        raise SceneError(f"{path}: frames must be a list of at least one frame")
    frames, missing = [], []
    for i, entry in enumerate(entries):
        where = f"{path}: frames[{i}]"
        if not isinstance(entry, dict):
            raise SceneError(f"{where} must be a JSON object, not {shown(entry)}")
        file_path = checked_text(where, entry, "file_path")
        image_path = find_file(
            data_dir, file_path, where, allow_external_paths=options.allow_external_paths
        )
        if image_path is None:
            missing.append(file_path)
        else:
            frames.append(Frame(where, entry, file_path, image_path))
    tell_missing(path, missing, len(entries))
    return content, sorted(frames, key=lambda frame: frame.file_path)


def _indices(path: Path, content: dict, frames: list[Frame], split: str) -> list[int]:
    """Which frames are of a split."""
    names = [f"{name}_filenames" for name in SPLITS]
    if any(name in content for name in names):
        listed = content.get(f"{split}_filenames", [])
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise SceneError(f"{path}: {split}_filenames must be a list of file paths")
        wanted = {PurePosixPath(name) for name in listed}
        strangers = wanted - {PurePosixPath(entry["file_path"]) for entry in content["frames"]}
        if strangers:
            warn_once(
                f"{path}: {split}_filenames: {len(strangers)} of {len(wanted)} names are of no "
                f"frame and left out: {', '.join(sorted(map(shown, map(str, strangers))))}"
            )
        return [i for i, frame in enumerate(frames) if PurePosixPath(frame.file_path) in wanted]
    # At least one is held out, where there are two.
    num_train = min(math.ceil(TRAIN_SHARE * len(frames)), max(len(frames) - 1, 1))
    train = {int(i) for i in np.linspace(0, len(frames) - 1, num_train)} if frames else set()
    return [i for i in range(len(frames)) if (i in train) == (split == "train")]


def _lens(frame: Frame, content: dict) -> Lens:
    """The intrinsics of one frame; what the frame does not say, the file does."""
    where, entry = frame.where, {**content, **frame.entry}

    def number(name: str, low: float, high: float, default: float) -> float:
        return _number(where, entry, name, low, high, default)

    model = entry.get("camera_model", "OPENCV_FISHEYE" if entry.get("is_fisheye") else "OPENCV")
    check_model(where, model)
    if "w" in entry or "h" in entry:
        width, height = (round(checked_number(where, entry, name, 1.0, MAX_SIDE)) for name in "wh")
    else:
        width, height = read_header(frame.image_path).stored_size
    focals = {
        name: checked_number(where, entry, name, 1e-2, MAX_FOCAL)
        for name in ("fl_x", "fl_y")
        if name in entry
    }
    for name, angle_name, side in (
        ("fl_x", "camera_angle_x", width),
        ("fl_y", "camera_angle_y", height),
    ):
        if name not in focals and angle_name in entry:
            angle = checked_number(where, entry, angle_name, 1e-3, math.pi - 1e-3)
            focals[name] = 0.5 * side / math.tan(0.5 * angle)
    if not focals:
        raise SceneError(f"{where}: neither fl_x nor camera_angle_x says how wide the camera sees")
    return Lens(
        width=width,
        height=height,
        fx=focals["fl_x" if "fl_x" in focals else "fl_y"],
        fy=focals["fl_y" if "fl_y" in focals else "fl_x"],
        cx=number("cx", -10.0 * width, 11.0 * width, 0.5 * width),
        cy=number("cy", -10.0 * height, 11.0 * height, 0.5 * height),
        distortion=tuple(
            number(name, -MAX_COEFFICIENT, MAX_COEFFICIENT, 0.0) for name in COEFFICIENTS
        ),
        fisheye=model in FISHEYE_MODELS,
    )


def _number(where: str, owner: dict, name: str, low: float, high: float, default: float) -> float:
    return checked_number(where, owner, name, low, high) if name in owner else default


def _default_placement(where: str, content: dict, bounded: bool) -> Placement:
    """How the scene stands where the user does not say.

    A `scale` or an `offset` says where instant-ngp's unit cube is in the file's coordinates; then,
    and in bounded scenes, these are kept and the box is that cube. Else nerfstudio's way holds.
    """
    if not bounded and "scale" not in content and "offset" not in content:
        return replace(FROM_CAMERAS, orientation=_orientation(where, content))
    scale = _number(where, content, "scale", 1e-6, 1e6, NGP_SCALE)
    offset = content.get("offset", [NGP_OFFSET] * 3)
    good = isinstance(offset, list) and len(offset) == 3
    if not good or not all(type(v) is float and abs(v) <= MAX_COORDINATE for v in offset):
        raise SceneError(f"{where}: offset is {shown(offset)}: it must be three numbers")
    box = (*(-v / scale for v in offset), *((1.0 - v) / scale for v in offset))
    if max(map(abs, box)) > MAX_COORDINATE:
        raise SceneError(f"{where}: scale and offset give a box beyond {MAX_COORDINATE:g}")
    return replace(AS_IT_IS, aabb=box)


def _orientation(where: str, content: dict) -> str:
    """nerfstudio's default, or what the file has in its place."""
    override = content.get("orientation_override", FROM_CAMERAS.orientation)
    if override not in ("up", "vertical", "pca", "none"):
        raise SceneError(f"{where}: orientation_override is {shown(override)}, which is not known")
    return override


def _mask_path(data_dir: Path, frame: Frame, options: LoadOptions) -> Path | None:
    if frame.entry.get("mask_path") is None:
        return None
    mask_path = checked_text(frame.where, frame.entry, "mask_path")
    return find_image(data_dir, mask_path, frame.where, options)
