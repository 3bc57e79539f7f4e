"""Cameras for a page: training views, where it starts, and what it turns about."""

from __future__ import annotations

import math

import numpy as np

from taichi_pynerf.data.placement import focus_point
from taichi_pynerf.geometry.cameras import Cameras, look_at
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.rendering.camera_paths import DEFAULT_ANGLE, scene_up
from taichi_pynerf.runs.scene_source import Views

MOST_VIEWS = 100  # training views that a page offers, evenly spread
DIGITS = 7


def scene_of_views(views: Views | None, box: SceneBox) -> dict:
    """What a page needs to know of a scene's cameras.

    Args:
        views: the training views; None if the scene is not at hand.
        box: the model's.

    Returns:
        {"views": [{"name", "c2w": 12 numbers, row by row, "angle": vertical, radians}, …],
        "up", "focus": [3], "near", "far": world units, "background": [3]}. Without views one
        camera sees the whole box.
    """
    if views is None or len(views.cameras) == 0:
        center = np.array(box.center)
        eye = center + box.size * np.array([1.2, -1.5, 1.0])
        pose = look_at(eye.tolist(), box.center)
        reach = max(high - low for low, high in zip(box.reach[:3], box.reach[3:], strict=True))
        return {
            "views": [_view("overview", pose.double().numpy(), 0.9)],
            "up": [0.0, 0.0, 1.0],
            "focus": center.tolist(),
            "near": 0.0,
            "far": _round(8 * box.size + 2 * reach),
            "background": [1.0, 1.0, 1.0],
        }
    poses = views.cameras.c2w.double().cpu()
    count = min(len(poses), MOST_VIEWS)
    chosen = np.linspace(0, len(poses) - 1, count).round().astype(int).tolist()
    return {
        "views": [
            _view(views.names[i], poses[i].numpy(), vertical_angle(views.cameras, i))
            for i in chosen
        ],
        "up": [_round(x) for x in scene_up(poses).tolist()],
        "focus": [_round(x) for x in focus_point(poses.numpy())],
        "near": _round(views.near),
        "far": _round(views.far),
        "background": [float(x) for x in views.background],
    }


def vertical_angle(cameras: Cameras, view: int) -> float:
    """Of a pinhole camera that sees about what a view does, radians."""
    if cameras.is_panorama(view) or cameras.is_orthographic(view):
        return DEFAULT_ANGLE
    return 2 * math.atan2(0.5 * int(cameras.height[view]), float(cameras.fy[view]))


def _view(name: str, pose: np.ndarray, angle: float) -> dict:
    c2w = [_round(x) for x in np.asarray(pose).reshape(-1)]
    return {"name": name, "c2w": c2w, "angle": _round(angle)}


def _round(x: float) -> float:
    return float(f"{float(x):.{DIGITS}g}")
