"""Tests of whether cameras look into the scene box, and a box where they do."""

from __future__ import annotations

import numpy as np

from taichi_pynerf.data.formats.lenses import Lens
from taichi_pynerf.data.placement import SceneTransform, focus_point

LEAST_VIEWS, NEARLY_ALL = 4, 0.9
"""Number and share of cameras from which on they are said to look outwards."""

MARGIN = 1.03
"""Side of the scene box, in widths of a camera's view at the focus, as in NeRF-synthetic."""


def looks_away(poses: np.ndarray, aabb: tuple[float, ...]) -> np.ndarray:
    """bool [V], whether the optical axis in front of each camera misses the scene box.

    Args:
        poses: [V, 3, 4] camera-to-world poses.
        aabb: (x0, y0, z0, x1, y1, z1).
    """
    return ~meets_box(poses[:, :, 3], -poses[:, :, 2], aabb)


def looks_outwards(poses: np.ndarray) -> bool:
    """Whether the place nearest to all optical axes is behind nearly every camera.

    Args:
        poses: [V, 3, 4] camera-to-world poses; never so of fewer than `LEAST_VIEWS`.
    """
    if len(poses) < LEAST_VIEWS:
        return False
    ahead = ((focus_point(poses) - poses[:, :, 3]) * -poses[:, :, 2]).sum(axis=-1)
    return bool((ahead < 0.0).mean() > NEARLY_ALL)


def meets_box(rays_o: np.ndarray, rays_d: np.ndarray, aabb: tuple[float, ...]) -> np.ndarray:
    """bool [N], whether rays meet the box in front of their origins.

    Args:
        rays_o, rays_d: [N, 3] origins and directions.
        aabb: (x0, y0, z0, x1, y1, z1).
    """
    tiny = np.where(np.abs(rays_d) < 1e-12, 1e-12, rays_d)
    a, b = (np.array(corner) - rays_o for corner in (aabb[:3], aabb[3:]))
    enter = np.minimum(a / tiny, b / tiny).max(axis=1)
    leave = np.maximum(a / tiny, b / tiny).min(axis=1)
    return (leave >= 0.0) & (enter <= leave)


def box_where_cameras_look(
    poses: np.ndarray, lenses: list[Lens], half: float
) -> SceneTransform | None:
    """The transform that brings what the cameras look at into the box ±half; axes stay.

    The point nearest to all optical axes becomes the origin. What a camera sees around it just
    fills the box.

    Args:
        poses: [V, 3, 4] float64 camera-to-world poses.
        lenses: V lenses.
        half: half the side of the box, scene units.

    Returns:
        The transform; None if most cameras have that point behind them, as they look apart.
    """
    focus = focus_point(poses)
    depths = ((poses[:, :, 3] - focus) * poses[:, :, 2]).sum(axis=1)
    if len(poses) < 2 or (depths > 0.0).mean() <= 0.5:
        return None
    tangents = np.array([0.5 * max(lens.width / lens.fx, lens.height / lens.fy) for lens in lenses])
    seen = float(np.median((depths * tangents)[depths > 0.0]))
    if not seen > 1e-9:
        return None
    matrix = np.concatenate([np.eye(3), -focus[:, None]], axis=1)
    return SceneTransform(matrix, scale=half / (MARGIN * seen))
