"""The sparse points of structure from motion beside a scene's cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from taichi_pynerf.data.placement import MAX_COORDINATE
from taichi_pynerf.data.scene_files import note
from taichi_pynerf.errors import MissingPackageError, SceneError
from taichi_pynerf.extras import optional
from taichi_pynerf.geometry.cameras import Cameras

if TYPE_CHECKING:
    from pycolmap import Reconstruction

NEAR_MARGIN = 0.5
"""Near bound, as a share of the depth of the nearest points: surfaces come closer than points."""

NEAREST_SHARE = 0.01
"""Share of the nearest points in a view that is ignored, as some of them are wrong."""

LEAST_POINTS = 100
"""Least number of points seen, in all views together; fewer say little about near surfaces."""

LEAST_TRACK = 3
"""Least number of images in which a point is found; two may agree by chance."""

LARGEST_ERROR = 2.0
"""Largest reprojection error of a point, in pixels."""

SAME_CAMERAS = 0.01
"""Largest difference of two descriptions of the same cameras, as a share of their spread."""


def reliable_points(model: Reconstruction) -> set[int]:
    """The numbers of the points that enough images agree about."""
    return {
        number
        for number, point in model.points3D.items()
        if point.track.length() >= LEAST_TRACK
        and point.error <= LARGEST_ERROR
        and np.isfinite(point.xyz).all()
    }


def same_cameras(centres: np.ndarray, others: np.ndarray) -> float | None:
    """The factor from the lengths of `others` to those of `centres`; None if they do not fit.

    Args:
        centres, others: [V, 3] positions of the same cameras in two coordinate systems.
    """
    radii, other_radii = (
        np.linalg.norm(x - x.mean(axis=0), axis=1) if len(x) > 1 else np.zeros(1)
        for x in (centres, others)
    )
    spread, other_spread = (float(np.sqrt(np.mean(r**2))) for r in (radii, other_radii))
    if not (spread > 0 and other_spread > 0):
        return None
    scale = spread / other_spread
    return scale if np.abs(radii - scale * other_radii).max() <= SAME_CAMERAS * spread else None


def read_ply_points(path: Path) -> np.ndarray | None:
    """The points float64 [K, 3] of a PLY file; None if the package that reads it is absent.

    Raises:
        SceneError: it is not a PLY file, or its vertices have no x, y and z.
    """
    try:
        plyfile = optional("plyfile", "colmap")
    except MissingPackageError:
        return None
    note(path)
    try:
        vertices = plyfile.PlyData.read(path)["vertex"]
        points = np.stack([np.asarray(vertices[name], dtype=float) for name in "xyz"], axis=-1)
    except (plyfile.PlyParseError, KeyError, ValueError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SceneError(f"{path}: these points cannot be read ({reason})") from None
    usable = np.isfinite(points).all(axis=1) & (np.abs(points) < MAX_COORDINATE).all(axis=1)
    return points[usable]


def near_of_points(cameras: Cameras, points: np.ndarray) -> float | None:
    """A lower bound of the distance to nearly everything in any view; None with too few points.

    Args:
        cameras: V cameras.
        points: [K, 3] points of the scene, in the cameras' world.
    """
    depths = []
    world = torch.from_numpy(points).float()
    for view in range(len(cameras)):
        pixels, depth = cameras.project(view, world)
        size = torch.stack([cameras.width[view], cameras.height[view]])
        inside = ((pixels >= 0) & (pixels < size)).all(-1) & (depth > 0)  # false for NaN
        depths.append(depth[inside])
    found = torch.cat(depths) if depths else torch.zeros(0)
    if len(found) < LEAST_POINTS:
        return None
    return NEAR_MARGIN * float(np.quantile(found.numpy(), NEAREST_SHARE))
