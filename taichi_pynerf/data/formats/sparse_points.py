"""The sparse points of structure from motion beside a scene's cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.data.placement import MAX_COORDINATE
from taichi_pynerf.errors import MissingPackageError, SceneError
from taichi_pynerf.extras import optional
from taichi_pynerf.geometry.cameras import Cameras

NEAR_MARGIN = 0.5
"""Near bound, as a share of the depth of the nearest points: surfaces come closer than points."""

NEAREST_SHARE = 0.01
"""Share of the nearest points in a view that is ignored, as some of them are wrong."""

LEAST_POINTS = 100
"""Least number of points seen, in all views together; fewer say little about near surfaces."""


def read_ply_points(path: Path) -> np.ndarray | None:
    """The points float64 [K, 3] of a PLY file; None if the package that reads it is absent.

    Raises:
        SceneError: it is not a PLY file, or its vertices have no x, y and z.
    """
    try:
        plyfile = optional("plyfile", "colmap")
    except MissingPackageError:
        return None
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
