"""NeRF-synthetic ("Blender") scenes: one `transforms_<split>.json` per split, and its images.

Format: Mildenhall et al., NeRF (ECCV 2020). The file holds `camera_angle_x`, the horizontal angle
of view in radians (a frame may have its own), and `frames`, each with a `file_path` relative to the
folder and a camera-to-world `transform_matrix` in OpenGL axes.
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from taichi_pynerf.cameras import Cameras
from taichi_pynerf.data.images import image_size
from taichi_pynerf.data.scene_files import IMAGE_SUFFIXES, SceneFiles, find_image, read_json, shown
from taichi_pynerf.errors import SceneError

AABB = (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5)
"""The box that all NeRF-synthetic objects lie in; the format has no word for it."""

NEAR = 0.05
"""Just in front of any camera. Rays are cut to the scene box, so this is only a least distance."""

MIN_ANGLE = 1e-3
MAX_COORDINATE = 1e6
ROTATION_TOLERANCE = 1e-2


def detect(data_dir: Path) -> bool:
    """Whether the folder looks like a scene of this format."""
    return bool(splits(data_dir))


def parse(data_dir: Path, split: str, *, allow_external_paths: bool = False) -> SceneFiles:
    """Read and check `transforms_<split>.json`. The size of the first image stands for all.

    Raises:
        SceneError: the file or an image it names is missing, or something in it is wrong.
    """
    path = data_dir / f"transforms_{split}.json"
    if not path.is_file():
        found = ", ".join(splits(data_dir)) or "none"
        raise SceneError(f"{path}: no such file; splits in this folder: {found}")
    content = read_json(path)
    if not isinstance(content, dict):
        raise SceneError(f"{path}: must hold a JSON object with frames, not {shown(content)}")
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise SceneError(f"{path}: frames must be a list of at least one frame")

    file_paths, image_paths, angles, poses = [], [], [], []
    for i, frame in enumerate(frames):
        where = f"{path}: frames[{i}]"
        if not isinstance(frame, dict):
            raise SceneError(f"{where} must be a JSON object, not {shown(frame)}")
        file_path = frame.get("file_path")
        if not isinstance(file_path, str) or not file_path:
            raise SceneError(f"{where}: file_path must be the path of an image")
        file_paths.append(file_path)
        image_paths.append(
            find_image(data_dir, file_path, where, allow_external_paths=allow_external_paths)
        )
        owner = (where, frame) if "camera_angle_x" in frame else (str(path), content)
        angles.append(_camera_angle(*owner))
        poses.append(_pose(where, frame.get("transform_matrix")))

    width, height = image_size(image_paths[0])
    cameras = _cameras(np.stack(poses), np.array(angles), width, height)
    farthest_camera = cameras.c2w[:, :, 3].norm(dim=-1).max().item()
    return SceneFiles(
        image_paths=image_paths,
        cameras=cameras,
        names=_names(file_paths),
        near=NEAR,
        far=farthest_camera + math.dist(AABB[:3], AABB[3:]),
        aabb=AABB,
        split=split,
    )


def splits(data_dir: Path) -> list[str]:
    """The splits that the folder has a file for."""
    return sorted(
        path.stem.removeprefix("transforms_") for path in data_dir.glob("transforms_*.json")
    )


def _camera_angle(where: str, owner: dict) -> float:
    """The horizontal angle of view in radians, from the frame or the file that has it."""
    angle = owner.get("camera_angle_x")
    if angle is None:
        raise SceneError(f"{where}: camera_angle_x is missing (the angle of view in radians)")
    if type(angle) is not float or not MIN_ANGLE <= angle <= math.pi - MIN_ANGLE:
        raise SceneError(
            f"{where}: camera_angle_x must be an angle in radians between 0 and pi "
            f"(at least {MIN_ANGLE} from both), not {shown(angle)}"
        )
    return angle


def _pose(where: str, matrix: object) -> np.ndarray:
    """A checked [3, 4] float64 camera-to-world pose from a 4x4 or 3x4 nested list."""
    is_matrix = (
        isinstance(matrix, list)
        and len(matrix) in (3, 4)
        and all(isinstance(row, list) and len(row) == 4 for row in matrix)
        and all(type(value) is float for row in matrix for value in row)
    )
    if not is_matrix:
        raise SceneError(f"{where}: transform_matrix must be 4 rows of 4 numbers (or 3 rows of 4)")
    full = np.array(matrix)
    if not np.isfinite(full).all():
        raise SceneError(f"{where}: transform_matrix has a value that is not finite")
    if len(full) == 4 and np.abs(full[3] - (0.0, 0.0, 0.0, 1.0)).max() > 1e-6:
        raise SceneError(f"{where}: the last row of transform_matrix must be 0 0 0 1")
    pose = full[:3]
    if np.abs(pose).max() > MAX_COORDINATE:
        raise SceneError(f"{where}: transform_matrix has a value beyond {MAX_COORDINATE:g}")
    rotation = pose[:, :3]
    if abs(np.linalg.det(rotation)) < 1e-6:
        raise SceneError(f"{where}: transform_matrix is not invertible")
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > ROTATION_TOLERANCE:
        raise SceneError(
            f"{where}: transform_matrix is not a rotation and a translation: the columns of its "
            "upper left 3x3 part must have length 1 and stand at right angles"
        )
    if np.linalg.det(rotation) < 0.0:
        raise SceneError(f"{where}: transform_matrix is mirrored: negate one of its axes")
    return pose


def _cameras(poses: np.ndarray, angles: np.ndarray, width: int, height: int) -> Cameras:
    """Cameras with square pixels and the principal point in the middle of the image."""
    num_views = len(poses)
    focal = torch.from_numpy(0.5 * width / np.tan(0.5 * angles)).float()
    return Cameras(
        c2w=torch.from_numpy(poses).float(),
        fx=focal,
        fy=focal.clone(),
        cx=torch.full((num_views,), 0.5 * width),
        cy=torch.full((num_views,), 0.5 * height),
        width=torch.full((num_views,), width),
        height=torch.full((num_views,), height),
    )


def _names(file_paths: list[str]) -> list[str]:
    """The images' names without folders and suffix; with folders where that tells them apart."""
    paths = [PurePosixPath(file_path) for file_path in file_paths]
    paths = [p.with_suffix("") if p.suffix.lower() in IMAGE_SUFFIXES else p for p in paths]
    names = [p.name for p in paths]
    return names if len(set(names)) == len(names) else ["_".join(p.parts) for p in paths]
