"""Kinds of cameras for rendering only: panoramas, stereo pairs, parallel rays."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.rendering.camera_paths import DEFAULT_ANGLE, frame_cameras

CAMERA_KINDS = ("perspective", "fisheye", "equirectangular", "vr180", "orthographic")
PANORAMIC = ("equirectangular", "vr180")
EYE_DISTANCE = 0.064  # average distance between the eyes of adults, metres
WIDEST = math.radians(179)  # greatest vertical angle of view


def cameras_of_kind(
    kind: str,
    poses: torch.Tensor,
    angles: torch.Tensor,
    width: int,
    height: int,
    eye_distance: float = 0.0,
    center: tuple[float, ...] = (0.0, 0.0, 0.0),
) -> Cameras:
    """Cameras of one kind with poses [F, 3, 4].

    Args:
        kind: one of `CAMERA_KINDS`. A panorama ("equirectangular") shows the whole sphere. "vr180"
            shows the front half of it for each eye, side by side, so images are twice as wide.
        poses: [F, 3, 4] camera-to-world poses.
        angles: [F] vertical angles of view in radians; panoramas have none.
        width, height: size of the images, or of the image of each eye, pixels.
        eye_distance: distance between the eyes of "vr180", world units.
        center: point at which an orthographic camera sees as much as a perspective one.

    Raises:
        ValueError: no such kind.
    """
    if kind not in CAMERA_KINDS:
        raise ValueError(f"a camera is one of {', '.join(CAMERA_KINDS)}, not {kind!r}")
    num_frames = len(poses)
    flags = torch.ones(num_frames, dtype=torch.bool)
    if kind in PANORAMIC:
        sphere = 2 * math.pi if kind == "equirectangular" else math.pi
        cameras = frame_cameras(poses, torch.full((num_frames,), height / math.pi), width, height)
        cameras = replace(cameras, fx=torch.full((num_frames,), width / sphere), panorama=flags)
        if kind == "equirectangular":
            return cameras
        eyes = torch.full((num_frames,), float(eye_distance))
        return replace(cameras, width=2 * cameras.width, eye_distance=eyes)
    if kind == "fisheye":  # whose image has angles in proportion to lengths
        cameras = frame_cameras(poses, height / angles.double(), width, height)
        return replace(cameras, fisheye=flags)
    half = torch.tan(0.5 * angles.double().clamp_max(WIDEST))
    if kind == "orthographic":
        ahead = ((torch.tensor(center) - poses[:, :, 3]) * -poses[:, :, 2]).sum(-1).double()
        distances = torch.where(ahead > 1e-6, ahead, (poses[:, :, 3]).double().norm(dim=-1))
        cameras = frame_cameras(poses, 0.5 * height / (half * distances), width, height)
        return replace(cameras, orthographic=flags)
    return frame_cameras(poses, 0.5 * height / half, width, height)


def vertical_angles(cameras: Cameras) -> torch.Tensor:
    """Vertical angles of view [V] in radians, without distortion."""
    angles = []
    for view in range(len(cameras)):
        half = 0.5 * float(cameras.height[view]) / float(cameras.fy[view])
        if cameras.is_panorama(view) or cameras.is_orthographic(view):
            angles.append(DEFAULT_ANGLE)
        else:
            angles.append(2 * half if cameras.is_fisheye(view) else 2 * math.atan(half))
    return torch.tensor(angles)


def usual_size(kind: str, width: int, height: int) -> tuple[int, int]:
    """The size of an image of a kind with about the detail of one of `width` x `height` pixels."""
    if kind == "equirectangular":
        return 2 * height, height
    return (height, height) if kind == "vr180" else (width, height)
