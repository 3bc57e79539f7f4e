"""The sparse points that structure from motion leaves beside a scene's cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.data.placement import MAX_COORDINATE
from taichi_pynerf.errors import MissingPackageError, SceneError
from taichi_pynerf.extras import optional
from taichi_pynerf.geometry.cameras import Cameras

NEAR_MARGIN = 0.5
"""Share of the depth of the nearest points that is near: surfaces come closer than points."""

NEAREST_SHARE = 0.01
"""Share of the points in a view that may be nearer than that: some of them are wrong."""

LEAST_POINTS = 100
"""In view, all views together; fewer say little of what is near."""


def read_ply_points(path: Path) -> np.ndarray | None:
    """[K, 3] float64 points of a PLY file; None where the package that reads it is absent.

    Raises:
        SceneError: it is no PLY file, or its vertices have no x, y and z.
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
    """A distance that next to nothing in any view is nearer than; None where points say too little.

    Args:
        cameras: V cameras.
        points: [K, 3] points of the scene, in the cameras' world.
    """
    depths = []
    world = torch.from_numpy(points).float()
    for view in range(len(cameras)):
        pixels, depth = cameras.project(view, world)
        size = torch.stack([cameras.width[view], cameras.height[view]])
        inside = ((pixels >= 0) & (pixels < size)).all(-1) & (depth > 0)  # NaN is not
        depths.append(depth[inside])
    found = torch.cat(depths) if depths else torch.zeros(0)
    if len(found) < LEAST_POINTS:
        return None
    return NEAR_MARGIN * float(np.quantile(found.numpy(), NEAREST_SHARE))
