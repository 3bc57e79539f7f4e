"""Depth images: distances along the optical axis, from PNG, TIFF, NumPy and OpenEXR files.

In this package unknown depths are 0. Files may have NaN, infinity or negative numbers for them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from taichi_pynerf.data.images import MAX_MEGAPIXELS, decode_whole
from taichi_pynerf.data.linear_images import read_exr_depth
from taichi_pynerf.data.pixels import in_proportion, nearest
from taichi_pynerf.data.scene_files import read_npy
from taichi_pynerf.errors import SceneError

MAX_BYTES = 8 * MAX_MEGAPIXELS * 1_000_000 + 4096
"""Largest array: float64 of as many pixels as an image may have, and a header."""

BEYOND = 65504.0  # greatest half float, which Blender writes for the background
MILLIMETRES = 1e-3
"""Metres per step of an integer depth, in nerfstudio's scenes and in those of depth cameras."""


def decode_depth(path: Path, unit: float) -> np.ndarray:
    """Distances float32 [H, W] along the optical axis, in world units; 0 where unknown.

    Args:
        path: a 16-bit grey PNG or TIFF, an array of numbers in a .npy file, or an OpenEXR file
            with a channel Z, V (Blender), Y or R.
        unit: factor from values of the file to world units.

    Raises:
        SceneError: the file is missing or broken, or holds no depths.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        values = read_npy(path, most=MAX_BYTES)
        values = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    elif suffix == ".exr":
        values = read_exr_depth(path)
    else:
        values = decode_whole(path)
    if values.ndim != 2 or values.size == 0:
        raise SceneError(f"{path}: depth must be of shape [height, width], not {values.shape}")
    if suffix == ".exr":  # the background in Blender's files
        values = np.where(values >= BEYOND, 0, values)
    depth = values.astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def fit_depth(path: Path, depth: np.ndarray, width: int, height: int) -> np.ndarray:
    """A depth image [h, w] resampled to the size of its photograph, by nearest values.

    Depth cameras have fewer pixels. A mean across an edge would be a depth where nothing is.

    Raises:
        SceneError: its proportions are not those of the photograph.
    """
    rows, columns = depth.shape
    if (columns, rows) == (width, height):
        return depth
    if not in_proportion(depth.shape, (height, width)):
        raise SceneError(
            f"{path}: {columns}x{rows} depths are not in proportion to a photograph of "
            f"{width}x{height} pixels"
        )
    return nearest(depth, height, width)
