"""NeRF-synthetic ("Blender") scenes: one `transforms_<split>.json` per split, and its images.

Format: Mildenhall et al., NeRF (ECCV 2020). The file holds `camera_angle_x`, the horizontal angle
of view in radians (a frame may have its own), and `frames`, each with a `file_path` relative to the
folder and a camera-to-world `transform_matrix` in OpenGL axes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.data.formats.poses import checked_pose, far_side
from taichi_pynerf.data.images import image_size
from taichi_pynerf.data.placement import AS_IT_IS, transform_from_poses
from taichi_pynerf.data.scene_files import (
    LoadOptions,
    SceneFiles,
    checked_text,
    find_image,
    image_names,
    read_json,
    shown,
)
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.cameras import Cameras

PLACEMENT = replace(AS_IT_IS, scene_scale=1.5)
"""The box that all NeRF-synthetic objects lie in; the format has no word for it."""

NEAR = 0.05
"""Just in front of any camera. Rays are cut to the scene box, so this is only a least distance."""

MIN_ANGLE = 1e-3


def detect(data_dir: Path) -> bool:
    """Whether the folder looks like a scene of this format."""
    return bool(splits(data_dir))


def parse(data_dir: Path, split: str, options: LoadOptions) -> SceneFiles:
    """Read and check `transforms_<split>.json`. The size of the first image stands for all.

    Raises:
        SceneError: the file or an image it names is missing, or something in it is wrong.
    """
    path = data_dir / f"transforms_{split}.json"
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
        file_path = checked_text(where, frame, "file_path")
        file_paths.append(file_path)
        image_paths.append(find_image(data_dir, file_path, where, options))
        owner = (where, frame) if "camera_angle_x" in frame else (str(path), content)
        angles.append(_camera_angle(*owner))
        poses.append(checked_pose(where, frame.get("transform_matrix"), "transform_matrix"))

    width, height = image_size(image_paths[0])
    placement = options.placement.or_else(PLACEMENT)
    transform = transform_from_poses(np.stack(poses), placement)
    placed = transform.apply_to_poses(np.stack(poses))
    return SceneFiles(
        image_paths=image_paths,
        cameras=_cameras(placed, np.array(angles), width, height),
        names=image_names(file_paths),
        near=NEAR * transform.scale,
        far=far_side(placed, placement.box()),
        aabb=placement.box(),
        split=split,
        transform=transform,
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
