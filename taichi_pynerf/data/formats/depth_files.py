"""Depth images: distances along the optical axis, from PNG, TIFF, NumPy and OpenEXR files.

What is not known is 0 everywhere in this package; files may have NaN, infinity or less than 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from taichi_pynerf.data.images import decode_whole
from taichi_pynerf.data.linear_images import read_exr_depth
from taichi_pynerf.data.scene_files import read_npy
from taichi_pynerf.errors import SceneError

SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".exr")

BEYOND = 65504.0
MILLIMETRES = 1e-3
"""What a whole number counts, in nerfstudio's scenes and in those of depth cameras."""


def decode_depth(path: Path, unit: float) -> np.ndarray:
    """[H, W] float32 distances along the optical axis, in world units; 0 where unknown.

    Args:
        path: a grey PNG or TIFF of 16 bits, an array of numbers in a .npy file, or an OpenEXR file
            with a channel Z, V (Blender), Y or R.
        unit: world units in a value of the file.

    Raises:
        SceneError: the file is missing or broken, or holds no depths.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        values = read_npy(path)
        values = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    elif suffix == ".exr":
        values = read_exr_depth(path)
    else:
        values = decode_whole(path)
    if values.ndim != 2 or values.size == 0:
        raise SceneError(f"{path}: depth must be of shape [height, width], not {values.shape}")
    if suffix == ".exr":  # Blender's background, in half floats their greatest number
        values = np.where(values >= BEYOND, 0, values)
    depth = values.astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def fit_depth(path: Path, depth: np.ndarray, width: int, height: int) -> np.ndarray:
    """A depth image [h, w] at the size of its photograph, by the nearest values.

    Depth cameras see fewer pixels; a mean over an edge would be the depth of nothing.

    Raises:
        SceneError: it is not in proportion to the photograph.
    """
    rows, columns = depth.shape
    if (columns, rows) == (width, height):
        return depth
    if abs(columns * height - rows * width) > 0.02 * max(columns * height, rows * width):
        raise SceneError(
            f"{path}: {columns}x{rows} depths are not in proportion to a photograph of "
            f"{width}x{height} pixels"
        )
    y = ((np.arange(height) + 0.5) * rows / height).astype(int)
    x = ((np.arange(width) + 0.5) * columns / width).astype(int)
    return depth[y[:, None], x[None, :]]
