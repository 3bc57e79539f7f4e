"""nerfstudio's camera_path.json: the camera paths that its viewer saves and its renderer reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from taichi_pynerf.errors import SceneError
from taichi_pynerf.files import atomic_write_text, json_text
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.rendering.camera_paths import frame_cameras

_MAX_SIDE = 16384


@dataclass(frozen=True, eq=False)
class CameraPath:
    """The cameras and the frame rate of a film.

    Attributes:
        cameras: one for each frame.
        fps: frames per second.
    """

    cameras: Cameras
    fps: float


def read_camera_path(path: str | Path) -> CameraPath:
    """Read a camera_path.json.

    Each entry of "camera_path" has "camera_to_world", 16 numbers row by row in OpenGL axes, and
    "fov", the vertical angle of view in degrees. "render_height" and "render_width" are the size
    of the frames; pixels are square, so "aspect" adds nothing. "fps" is 24 if absent.

    Raises:
        SceneError: the file cannot be read, or a value in it cannot be used.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # JSON and UTF-8
        raise SceneError(f"{path}: no JSON ({error})") from None
    frames = content.get("camera_path") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise SceneError(f"{path}: it has no list camera_path of at least one camera")
    kind = content.get("camera_type", "perspective")
    if kind != "perspective":
        raise SceneError(f"{path}: camera_type is {kind!r}; only perspective can be rendered")
    width, height = (_size(path, content, name) for name in ("render_width", "render_height"))
    fps = _number(path, content, "fps", 24.0)
    if not 0.0 < fps <= 1000.0:
        raise SceneError(f"{path}: fps is {fps:g}: it must be above 0, 1000 at most")
    poses, focal = [], []
    for i, frame in enumerate(frames):
        where = f"{path}: camera_path[{i}]"
        poses.append(_pose(where, frame.get("camera_to_world") if isinstance(frame, dict) else 0))
        angle = _number(where, frame, "fov", None)
        if not 0.01 <= angle <= 179.0:
            raise SceneError(f"{where}: fov is {angle:g}: it must be 0.01 to 179 degrees")
        focal.append(0.5 * height / math.tan(math.radians(angle) / 2))
    return CameraPath(
        frame_cameras(torch.stack(poses), torch.tensor(focal), width, height), float(fps)
    )


def write_camera_path(
    path: str | Path, cameras: Cameras, fps: float, keyframes: Cameras | None = None
) -> None:
    """Write cameras as a camera_path.json that nerfstudio reads too.

    Args:
        path: the file.
        cameras: one for each frame, all of one size, with square pixels and centred images.
        fps: frames per second.
        keyframes: the cameras that the path passes through, so that a viewer can edit it.

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
        "crop": None,
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


def _pose(where: str, values: object) -> torch.Tensor:
    """A checked [3, 4] pose of 16 numbers, or of 4 rows of 4."""
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
        raise SceneError(f"{where}: {name} must be a number, not {value!r}")
    return value


def _size(path: Path, content: dict, name: str) -> int:
    value = _number(path, content, name, None)
    if value != int(value) or not 1 <= value <= _MAX_SIDE:
        raise SceneError(
            f"{path}: {name} is {value:g}: it must be a whole number, 1 to {_MAX_SIDE}"
        )
    return int(value)
