"""Files of camera paths: nerfstudio's camera_path.json, instant-ngp's, and a `transforms.json`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.data.formats.poses import checked_pose, opengl_pose
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.data.scene_files import read_json, shown
from taichi_pynerf.errors import SceneError
from taichi_pynerf.files import atomic_write_text, json_text
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.geometry.rotations import rotation_of_quaternion
from taichi_pynerf.rendering.camera_kinds import (
    CAMERA_KINDS,
    EYE_DISTANCE,
    PANORAMIC,
    WIDEST,
    cameras_of_kind,
    usual_size,
    vertical_angles,
)
from taichi_pynerf.rendering.crop_files import background_of, crop_entry, crop_of
from taichi_pynerf.rendering.pose_interpolation import interpolate_poses
from taichi_pynerf.rendering.video import FPS_RANGE

_MAX_SIDE = 16384
FPS = 24.0


@dataclass(frozen=True, eq=False)
class PathScene:
    """The scene that a path leads through.

    Attributes:
        like: cameras of the scene, for values that a file does not give.
        transform: transform from the coordinates of the scene's files to the scene's.
        center: the middle of the scene box.
        unit_cube: (scale, offset) with which instant-ngp maps the files' coordinates to its own.
        num_frames: number of frames of a path that is given by key frames alone.
        eye_distance: distance between the eyes of stereo pairs, scene units.
    """

    like: Cameras | None = None
    transform: SceneTransform = field(default_factory=SceneTransform)
    center: tuple[float, ...] = (0.0, 0.0, 0.0)
    unit_cube: tuple[float, tuple[float, ...]] = (0.33, (0.5, 0.5, 0.5))
    num_frames: int = 120
    eye_distance: float = EYE_DISTANCE


@dataclass(frozen=True, eq=False)
class CameraPath:
    """The cameras and the frame rate of a film.

    Attributes:
        cameras: one for each frame.
        fps: frames per second.
        crop: a box; nothing outside of it is to be seen.
        background: [3] colour behind the scene, in [0, 1]; None leaves it to the scene.
        name: name of the path.
    """

    cameras: Cameras
    fps: float
    crop: CropBox | None = None
    background: torch.Tensor | None = None
    name: str = ""


def unit_cube_of(data_dir: Path) -> tuple[float, tuple[float, ...]]:
    """The scale and offset by which instant-ngp brings a scene folder's coordinates to its own."""
    scale, offset = PathScene().unit_cube
    for name in ("transforms.json", "transforms_train.json"):
        if not (data_dir / name).is_file():
            continue
        content = read_json(data_dir / name)
        content = content if isinstance(content, dict) else {}
        path = data_dir / name
        if "offset" in content:
            offset = tuple(_numbers(str(path), content, "offset", 3))
        return _number(path, content, "scale", scale) or scale, offset
    return scale, offset


def read_camera_path(
    path: str | Path, scene: PathScene | None = None, kind: str | None = None
) -> CameraPath:
    """Read a camera path.

    - nerfstudio's file has "camera_path". Its entries have "camera_to_world", 16 numbers row by row
      in OpenGL axes and the scene's coordinates, and "fov", the vertical angle of view in degrees
      (of a file of fisheyes, the one that a perspective camera of their focal length has).
      "render_height" and "render_width" are the size of the frames, or for "vr180" of one eye's.
      Pixels are square, so "aspect" is not needed. "camera_type" is one of `CAMERA_KINDS`.
    - instant-ngp's file has "path". Its key frames have "R" (a quaternion x, y, z, w), "T" and
      "fov". The film passes them at even intervals.
    - A `transforms.json` has "frames" with poses in the coordinates of the scene's files. All have
      the lens of the first, without distortion. If that has none, they have that of the images.

    Args:
        path: the file.
        scene: the scene that the path leads through.
        kind: one of `CAMERA_KINDS`, in place of the file's.

    Raises:
        SceneError: the file cannot be read, or a value in it cannot be used.
    """
    path, scene = Path(path), scene or PathScene()
    content = read_json(path)
    readers = {"camera_path": _of_nerfstudio, "path": _of_instant_ngp, "frames": _of_transforms}
    name = next((n for n in readers if isinstance(content, dict) and n in content), "camera_path")
    frames = content.get(name) if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(frames, list) or not frames:
        raise SceneError(
            f"{path}: it has no list {name} of at least one camera (nerfstudio's camera_path, "
            "instant-ngp's path, or the frames of a transforms.json)"
        )
    wheres = [f"{path}: {name}[{i}]" for i in range(len(frames))]
    for where, frame in zip(wheres, frames, strict=True):
        if not isinstance(frame, dict):
            raise SceneError(f"{where} must be a JSON object, not {shown(frame)}")
    fps = _number(path, content, "fps", FPS)
    if not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
        raise SceneError(f"{path}: fps is {fps:g}: give {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g}")
    kind = kind or content.get("camera_type", "perspective")
    if kind not in CAMERA_KINDS:
        raise SceneError(
            f"{path}: camera_type is {shown(kind)}; what can be rendered: {', '.join(CAMERA_KINDS)}"
        )
    poses, angles, width, height = readers[name](
        path, content, list(zip(wheres, frames, strict=True)), scene, kind
    )
    cameras = cameras_of_kind(kind, poses, angles, width, height, scene.eye_distance, scene.center)
    crop = background = None
    if content.get("crop") is not None:
        where = f"{path}: crop"
        crop = crop_of(where, content["crop"])
        background = background_of(where, content["crop"])
    return CameraPath(cameras, float(fps), crop, background, path.stem)


# Readers return poses [F, 3, 4], vertical angles of view [F], and the width and height of images.


def _of_nerfstudio(path: Path, content: dict, frames: list, scene: PathScene, kind: str) -> tuple:
    width, height = (_size(path, content, name) for name in ("render_width", "render_height"))
    poses = torch.stack([_pose(where, frame.get("camera_to_world")) for where, frame in frames])
    angles = torch.full((len(frames),), math.pi / 2)
    if kind not in PANORAMIC:
        angles = torch.tensor([_angle(where, frame) for where, frame in frames])
    if kind == content.get("camera_type") == "fisheye":
        # nerfstudio takes the focal length that the angle would give a perspective camera.
        angles = 2 * torch.tan(0.5 * angles.clamp_max(WIDEST))
    return poses, angles, width, height


def _of_instant_ngp(path: Path, content: dict, frames: list, scene: PathScene, kind: str) -> tuple:
    """instant-ngp scales and moves the files' coordinates, and permutes x, y, z to y, z, x.

    Its cameras look along +z with y down.
    """
    scale, offset = scene.unit_cube
    poses, angles = [], []
    for where, frame in frames:
        quaternion = _numbers(where, frame, "R", 4)
        if np.linalg.norm(quaternion) < 1e-6:
            raise SceneError(f"{where}: R is not the quaternion of a rotation")
        position = np.array(_numbers(where, frame, "T", 3))
        pose = opengl_pose(rotation_of_quaternion(*quaternion), position)[[2, 0, 1]]
        pose[:, 3] = (pose[:, 3] - offset) / scale
        poses.append(pose)
        angles.append(_angle(where, frame))
    keys = torch.from_numpy(scene.transform.apply_to_poses(np.stack(poses))).float()
    width, height = _usual_size(scene, kind, 1280, 720)
    if len(keys) == 1:
        return keys, torch.tensor(angles), width, height
    count = max(scene.num_frames, 2)
    between = np.interp(np.linspace(0, len(keys) - 1, count), np.arange(len(keys)), angles)
    poses_between = interpolate_poses(keys, count, evenly=True)
    return poses_between, torch.from_numpy(between), width, height


def _of_transforms(path: Path, content: dict, frames: list, scene: PathScene, kind: str) -> tuple:
    transform = scene.transform
    if "applied_transform" in content:
        applied = checked_pose(str(path), content["applied_transform"], "applied_transform")
        rotation = applied[:, :3].T
        undone = np.concatenate([rotation, -rotation @ applied[:, 3:]], axis=1)
        transform = transform.after(undone)
    in_files = np.stack(
        [checked_pose(where, f.get("transform_matrix"), "transform_matrix") for where, f in frames]
    )
    poses = torch.from_numpy(transform.apply_to_poses(in_files)).float()
    entry = {**content, **frames[0][1]}
    width, height = _usual_size(scene, kind, 800, 800)
    if "w" in entry or "h" in entry:
        width, height = (_size(path, entry, name) for name in "wh")
    angle = None
    for name in ("fl_y", "fl_x"):  # pixels are square
        if angle is None and name in entry:
            focal = _number(path, entry, name, None)
            if not 1e-2 <= focal <= 1e7:
                raise SceneError(f"{path}: {name} is {focal:g}: it must be a length in pixels")
            angle = 2 * math.atan(0.5 * height / focal)
    if angle is None and "camera_angle_x" in entry:
        across = _number(path, entry, "camera_angle_x", None)
        if not 1e-3 <= across <= math.pi - 1e-3:
            raise SceneError(f"{path}: camera_angle_x is {across:g}: it must be in radians")
        angle = 2 * math.atan(math.tan(0.5 * across) * height / width)
    if angle is None and scene.like is not None:
        angle = float(vertical_angles(scene.like)[0])
    if angle is None:
        raise SceneError(f"{path}: neither fl_x nor camera_angle_x says how wide the camera sees")
    return poses, torch.full((len(poses),), angle), width, height


def write_camera_path(
    path: str | Path,
    cameras: Cameras,
    fps: float,
    keyframes: Cameras | None = None,
    crop: CropBox | None = None,
    background: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> None:
    """Write cameras as a camera_path.json that nerfstudio reads too.

    Args:
        path: the file.
        cameras: one for each frame, all of one size, with square pixels and centred images.
        fps: frames per second.
        keyframes: the cameras through which the path was laid, for editing it again in a viewer.
        crop: a box; everything outside of it is left out.
        background: colour behind the box, each channel in [0, 1].

    Raises:
        ValueError: there is no camera, or the sizes differ.
        OSError: the file cannot be written.
    """
    if len(cameras) == 0 or len(cameras.width.unique()) + len(cameras.height.unique()) != 2:
        raise ValueError("a camera path needs cameras of one size")
    width, height = int(cameras.width[0]), int(cameras.height[0])
    keys = cameras if keyframes is None else keyframes
    content = {
        "camera_type": "perspective",
        "render_height": height,
        "render_width": width,
        "fps": fps,
        "seconds": len(cameras) / fps,
        "is_cycle": False,
        "smoothness_value": 0.5,
        "crop": None if crop is None else crop_entry(crop, background),
        "camera_path": [
            {"camera_to_world": matrix, "fov": fov, "aspect": width / height}
            for matrix, fov in _entries(cameras)
        ],
        "keyframes": [
            {"matrix": matrix, "fov": fov, "aspect": width / height}
            for matrix, fov in _entries(keys)
        ],
    }
    atomic_write_text(path, json_text(content, indent=2) + "\n")


def _entries(cameras: Cameras) -> Iterator[tuple[list[float], float]]:
    """(16 numbers, vertical angle in degrees) of each camera."""
    bottom = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    for pose, fy, height in zip(cameras.c2w, cameras.fy, cameras.height, strict=True):
        angle = 2 * math.atan(0.5 * float(height) / float(fy))
        yield torch.cat([pose.cpu(), bottom]).view(-1).tolist(), math.degrees(angle)


def _usual_size(scene: PathScene, kind: str, width: int, height: int) -> tuple[int, int]:
    """A size with the detail of the scene's images, or else of the size given."""
    if scene.like is not None:
        width, height = int(scene.like.width[0]), int(scene.like.height[0])
    return usual_size(kind, width, height)


def _angle(where: str, frame: dict) -> float:
    """A frame's vertical angle of view, in radians."""
    angle = _number(where, frame, "fov", None)
    if not 0.01 <= angle <= 179.0:
        raise SceneError(f"{where}: fov is {angle:g}: it must be 0.01 to 179 degrees")
    return math.radians(angle)


def _numbers(where: str, frame: dict, name: str, count: int) -> list[float]:
    values = frame.get(name)
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(type(v) is float and abs(v) <= 1e6 for v in values)
    ):
        raise SceneError(f"{where}: {name} is {shown(values)}: it must be {count} numbers")
    return values


def _pose(where: str, values: object) -> torch.Tensor:
    """A checked pose [3, 4] from 16 numbers or 4 rows of 4."""
    if isinstance(values, list) and len(values) == 4 and all(isinstance(v, list) for v in values):
        values = [value for row in values for value in row]
    numbers = (
        isinstance(values, list)
        and len(values) == 16
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    )
    if not numbers:
        raise SceneError(f"{where}: camera_to_world must be 16 numbers, row by row")
    pose = torch.tensor(values, dtype=torch.float64).view(4, 4)[:3]
    if not bool(pose.isfinite().all()) or pose.abs().max() > 1e6:
        raise SceneError(f"{where}: camera_to_world has a value that is not finite, or too large")
    rotation = pose[:, :3]
    if (rotation.T @ rotation - torch.eye(3)).abs().max() > 1e-2 or torch.det(rotation) < 0:
        raise SceneError(f"{where}: camera_to_world is not a rotation and a translation")
    return pose.float()


def _number(where: object, owner: object, name: str, default: float | None) -> float:
    value = owner.get(name, default) if isinstance(owner, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SceneError(f"{where}: {name} must be a number, not {shown(value)}")
    return value


def _size(path: Path, content: dict, name: str) -> int:
    value = _number(path, content, name, None)
    if value != int(value) or not 1 <= value <= _MAX_SIDE:
        raise SceneError(
            f"{path}: {name} is {value:g}: it must be a whole number, 1 to {_MAX_SIDE}"
        )
    return int(value)
