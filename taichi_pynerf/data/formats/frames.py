"""The frames of `transforms.json` and similar files: one reader of cameras for all of them.

nerfstudio, instant-ngp, Blender add-ons and converters write such files. A value that a frame lacks
is taken from the top of its file. Angles are in radians, except instant-ngp's `x_fov` and `y_fov`,
which are in degrees.
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from taichi_pynerf.data.formats.depth_files import MILLIMETRES
from taichi_pynerf.data.formats.lenses import (
    FISHEYE_MODELS,
    MAX_COEFFICIENT,
    MAX_FOCAL,
    MAX_SIDE,
    PANORAMA_MODELS,
    Lens,
    checked_model,
    panorama_lens,
)
from taichi_pynerf.data.formats.photos import count_present, nearest_reduction
from taichi_pynerf.data.formats.poses import checked_pose, opengl_pose
from taichi_pynerf.data.image_files import ImageFinder, subfolders
from taichi_pynerf.data.scene_files import (
    LoadOptions,
    checked_number,
    checked_text,
    read_json,
    shown,
    warn_once,
)
from taichi_pynerf.errors import SceneError
from taichi_pynerf.files import is_there
from taichi_pynerf.geometry.distortion import COEFFICIENTS

IMAGE_FOLDERS = (
    ".", "images", "input", "rgb", "train", "test", "val", "../resized_images",
    "../resized_undistorted_images",
)  # fmt: skip
"""Folders to search for images whose paths do not exist; the last two are ScanNet++'s."""
MASK_FOLDERS = (
    ".", "masks", "mask", "../resized_anon_masks", "../resized_undistorted_masks",
    *IMAGE_FOLDERS[1:],
)  # fmt: skip

MIN_ANGLE = 1e-3

FOCALS = ("fl_x", "fl_y", "fx", "fy", "focal", "focal_length")
AXES_MEMBERS = ("camera_convention", "convention", "coordinate_system", "camera_coordinates")
"""Members that exporters use to name the axes of cameras. nerfstudio's own files have none."""
OPENCV_AXES = ("opencv", "colmap", "cv")
OPENGL_AXES = ("opengl", "blender", "nerfstudio", "gl")

NGP_DEPTH = 1 / 65535  # units per step of an integer depth image, instant-ngp's default

MATRICES = ("camera_intrinsics", "intrinsics", "intrinsic_matrix", "K")
"""Members that exporters use for the matrix of intrinsics."""


class Frame(NamedTuple):
    """One frame of a file.

    Attributes:
        where: the place in the file, for messages.
        entry: the frame's values, with those of the file as defaults.
        file_path: the path as written.
        image_path: the image file, or None if it is missing.
        mask_path, depth_path: the mask and the depth image that the frame names, or None.
        is_test: whether the file lists it apart, among frames for tests (ScanNet++).
        file_scale: reduction of the image file, if there are none at full size (DL3DV).
    """

    where: str
    entry: dict
    file_path: str
    image_path: Path | None
    mask_path: Path | None
    depth_path: Path | None
    is_test: bool = False
    file_scale: int = 1

    def pose(self) -> np.ndarray:
        """Camera-to-world pose float64 [3, 4].

        Raises:
            SceneError: the frame has no valid pose.
        """
        name = "transform_matrix"
        pose = checked_pose(self.where, self.entry.get(name), name, may_be_scaled=True)
        if _axes_in(self.entry)[1] not in OPENCV_AXES:
            return pose
        return opengl_pose(pose[:, :3], pose[:, 3])

    def says_its_size(self) -> bool:
        return any(self.entry.get(name) is not None for name in ("w", "h"))


def read_frames(
    path: Path, options: LoadOptions, *, search: bool = False
) -> tuple[dict, list[Frame]]:
    """The content of a file and its frames, in the file's order.

    With `search`, images that are not where the file says are looked for in its subfolders: first
    those at a reduced size, in `images_4` and the like in place of `images`.

    Raises:
        SceneError: the file is missing, or a value in it is wrong.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise SceneError(f"{path}: must hold a JSON object with frames, not {shown(content)}")
    entries = content.get("frames")
    if not isinstance(entries, list) or not entries:
        raise SceneError(f"{path}: frames must be a list of at least one frame")
    wheres, num_frames = [f"{path}: frames[{i}]" for i in range(len(entries))], len(entries)
    if isinstance(more := content.get("test_frames"), list):
        wheres += [f"{path}: test_frames[{i}]" for i in range(len(more))]
        entries = [*entries, *more]
    file_paths = []
    for where, entry in zip(wheres, entries, strict=True):
        if not isinstance(entry, dict):
            raise SceneError(f"{where} must be a JSON object, not {shown(entry)}")
        file_paths.append(checked_text(where, entry, "file_path"))
    finder = ImageFinder(
        path.parent, folders=IMAGE_FOLDERS, allow_external_paths=options.allow_external_paths
    )
    masks = ImageFinder(
        path.parent, folders=MASK_FOLDERS, allow_external_paths=options.allow_external_paths
    )
    wanted, file_scale = file_paths, 1
    if search:
        wanted, file_scale = _at_reduced_size(path.parent, file_paths, options.img_downscale)
    paths = finder.find_all(wanted, wheres, search=search)
    _tell_axes(path, content)
    others = ("frames", "test_frames")
    for_all = {name: value for name, value in content.items() if name not in others}
    frames = [
        Frame(
            where,
            _with_matrix({**for_all, **entry}),
            file_path,
            image,
            None if image is None else _mask_of(masks, where, entry, image),
            None if image is None else _depth_of(finder, where, entry),
            is_test=i >= num_frames,
            file_scale=file_scale,
        )
        for i, (where, entry, file_path, image) in enumerate(
            zip(wheres, entries, file_paths, paths, strict=True)
        )
    ]
    _tell_depths(path, frames)
    _tell_times(path, frames)
    return content, frames


def _at_reduced_size(
    data_dir: Path, file_paths: list[str], img_downscale: int
) -> tuple[list[str], int]:
    """The paths of reduced images, if the folder that all paths begin with is there only so.

    Returns:
        The paths with `NAME_k` for the folder NAME, and k; or those given, and 1.
    """
    parts = [PurePosixPath(file_path.replace("\\", "/")).parts for file_path in file_paths]
    tops = {part[0] if len(part) > 1 else ".." for part in parts}
    top = tops.pop()
    if tops or top in ("..", "/") or is_there(data_dir / top):
        return file_paths, 1
    names = ["/".join(part[1:]) for part in parts]
    reduced = {
        int(k): folder.name
        for folder in subfolders(data_dir)
        for name, _, k in (folder.name.rpartition("_"),)
        if name == top and k.isdecimal() and count_present(folder, names)
    }
    chosen = nearest_reduction(reduced, img_downscale)
    if not chosen:
        return file_paths, 1
    return [f"{reduced[chosen]}/{name}" for name in names], chosen


def _tell_times(path: Path, frames: list[Frame]) -> None:
    """Warn of frames at several times, as D-NeRF's."""
    times = {str(frame.entry.get("time")) for frame in frames}
    if len(times) > 1:
        warn_once(
            f"{path}: frames of {len(times)} times: what moves between them is not modelled and "
            "becomes a blur"
        )


def _with_matrix(entry: dict) -> dict:
    """The entry, with focal lengths and principal point from a matrix if it has no others."""
    if any(entry.get(name) is not None for name in FOCALS):
        return entry
    for name in MATRICES:
        rows = entry.get(name)
        if (
            isinstance(rows, list)
            and len(rows) in (3, 4)
            and all(isinstance(row, list) and len(row) in (3, 4) for row in rows[:2])
        ):
            (fx, _, cx, *_), (_, fy, cy, *_) = rows[:2]
            return {**entry, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
    return entry


def _axes_in(entry: dict) -> tuple[str, str]:
    """The member that names the axes of cameras, and their name in lower case; empty if none."""
    for name in AXES_MEMBERS:
        if isinstance(value := entry.get(name), str):
            return name, value.lower()
    return "", ""


def _tell_axes(path: Path, content: dict) -> None:
    """Warn of cameras that are not in OpenGL's axes, as a member of the file says."""
    name, axes = _axes_in(content)
    if axes in OPENCV_AXES:
        warn_once(
            f"{path}: {name} is {shown(axes)}: cameras are taken with y down, looking along +z"
        )
    elif axes and axes not in OPENGL_AXES:
        warn_once(
            f"{path}: {name} is {shown(axes)}, which is not known: cameras are taken with y up, "
            "looking along -z (OpenGL)"
        )


def _depth_of(finder: ImageFinder, where: str, entry: dict) -> Path | None:
    """The depth image of a frame, in nerfstudio's member or instant-ngp's, if it is there."""
    for name in ("depth_file_path", "depth_path"):
        if entry.get(name) is not None:
            file_path = checked_text(where, entry, name)
            return finder.find_all([file_path], [where])[0]
    return None


def _tell_depths(path: Path, frames: list[Frame]) -> None:
    """Warn of depth images that are not there; training does without."""
    named = [f for f in frames if f.entry.get("depth_file_path") or f.entry.get("depth_path")]
    missing = [f for f in named if f.image_path is not None and f.depth_path is None]
    if missing:
        first = missing[0].entry.get("depth_file_path") or missing[0].entry.get("depth_path")
        warn_once(
            f"{path}: {len(missing)} of {len(named)} depth images are not there, such as "
            f"{shown(first)}: the depths of these views are unknown"
        )


def lens_of(frame: Frame, size: tuple[int, int]) -> Lens:
    """The lens of a frame.

    Args:
        frame: the frame.
        size: width and height in pixels, if the description does not give them.

    Raises:
        SceneError: a value is wrong, or nothing gives the camera's field of view.
    """
    where, entry = frame.where, frame.entry
    default = "OPENCV_FISHEYE" if entry.get("is_fisheye") else "OPENCV"
    model = checked_model(where, entry.get("camera_model", default))
    width, height = size
    if frame.says_its_size():
        width, height = (round(checked_number(where, entry, name, 1.0, MAX_SIDE)) for name in "wh")
    if model in PANORAMA_MODELS:
        return panorama_lens(width, height)
    fx, fy = _focal_lengths(where, entry, width, height)
    return Lens(
        width=width,
        height=height,
        fx=fx,
        fy=fy,
        cx=number_or(where, entry, "cx", -10.0 * width, 11.0 * width, 0.5 * width),
        cy=number_or(where, entry, "cy", -10.0 * height, 11.0 * height, 0.5 * height),
        distortion=_distortion(where, entry, model),
        fisheye=model in FISHEYE_MODELS,
    )


def depth_unit(frame: Frame, default: float = MILLIMETRES) -> float:
    """Factor from values of its depth image to units of the coordinates, or the default.

    instant-ngp's depth images have their own member for it.
    """
    if frame.entry.get("depth_file_path") is None and frame.entry.get("depth_path") is not None:
        name = "integer_depth_scale"
        return number_or(frame.where, frame.entry, name, 1e-9, 1e9, NGP_DEPTH)
    return number_or(frame.where, frame.entry, "depth_unit_scale_factor", 1e-9, 1e9, default)


def circle_radius(frame: Frame) -> float | None:
    """nerfstudio's `fisheye_crop_radius`, pixels: those farther from the middle do not count."""
    if frame.entry.get("fisheye_crop_radius") is None:
        return None
    return checked_number(frame.where, frame.entry, "fisheye_crop_radius", 1.0, MAX_SIDE)


def number_or(where: str, owner: dict, name: str, low: float, high: float, default: float) -> float:
    """A number of an object, or a default if it has none, or null.

    Raises:
        SceneError: the value is there, but is not a number in [low, high].
    """
    if owner.get(name) is None:
        return default
    return checked_number(where, owner, name, low, high)


def _focal_lengths(where: str, entry: dict, width: int, height: int) -> tuple[float, float]:
    known = {
        name: checked_number(where, entry, name, 1e-2, MAX_FOCAL)
        for name in FOCALS
        if entry.get(name) is not None
    }
    both = known.get("focal", known.get("focal_length"))
    fx = known.get("fl_x", known.get("fx", both)) or _from_angle(where, entry, "x", width)
    fy = known.get("fl_y", known.get("fy", both)) or _from_angle(where, entry, "y", height)
    either = fx or fy
    if either is None:
        raise SceneError(f"{where}: neither fl_x nor camera_angle_x says how wide the camera sees")
    return fx or either, fy or either


def _from_angle(where: str, entry: dict, axis: str, side: int) -> float | None:
    """The focal length in pixels for an angle of view, or None if the entry has no angle."""
    angle = entry.get(name := f"camera_angle_{axis}")
    if angle is None:
        if entry.get(name := f"{axis}_fov") is None:
            return None
        angle = math.radians(checked_number(where, entry, name, 0.1, 179.9))
    elif type(angle) is not float or not MIN_ANGLE <= angle <= math.pi - MIN_ANGLE:
        raise SceneError(
            f"{where}: {name} must be an angle in radians between 0 and pi (at least {MIN_ANGLE} "
            f"from both), not {shown(angle)}"
        )
    return 0.5 * side / math.tan(0.5 * angle)


def _distortion(where: str, entry: dict, model: str) -> tuple[float, ...]:
    """k1, k2, k3, k4, p1, p2."""
    values = entry.get("distortion_params")
    if values is not None and not any(name in entry for name in COEFFICIENTS):
        good = isinstance(values, list) and len(values) == len(COEFFICIENTS)
        if not good or not all(type(v) is float and abs(v) <= MAX_COEFFICIENT for v in values):
            raise SceneError(
                f"{where}: distortion_params is {shown(values)}: it must be the six numbers "
                f"{', '.join(COEFFICIENTS)}"
            )
        return tuple(values)
    for name in ("k4", "k5", "k6") if model == "FULL_OPENCV" else ("k5", "k6"):
        if number_or(where, entry, name, -MAX_COEFFICIENT, MAX_COEFFICIENT, 0.0):
            raise SceneError(
                f"{where}: {name} is not 0: rational distortion is not supported; let COLMAP's "
                "image_undistorter make images without distortion, and load these"
            )
    return tuple(
        number_or(where, entry, name, -MAX_COEFFICIENT, MAX_COEFFICIENT, 0.0)
        for name in COEFFICIENTS
    )


def _mask_of(finder: ImageFinder, where: str, entry: dict, image: Path) -> Path | None:
    """The mask that a frame names, or None if it names none."""
    if entry.get("mask_path") is None:
        return None
    file_path = checked_text(where, entry, "mask_path")
    path = finder.find_all([file_path], [where])[0]
    if path is None or path == image:  # which has the mask's name, and another suffix
        raise SceneError(
            f"{where}: mask_path: there is no image {shown(file_path)} in {finder.data_dir}"
        )
    return path
