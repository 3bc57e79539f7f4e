"""Mip-NeRF 360's scenes: photographs all around, with a sparse model or `poses_bounds.npy`.

Format: Barron et al., Mip-NeRF 360 (CVPR 2022). Images are in `images`, and reduced ones in
`images_2`, `images_4` and `images_8`. Cameras are in `sparse/0`, as COLMAP wrote them, or if that
is missing, in `poses_bounds.npy`, as in LLFF's scenes. Every eighth image is held out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats import colmap, llff
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.placement import FROM_CAMERAS
from taichi_pynerf.data.scene_files import LoadOptions

PLACEMENT = replace(FROM_CAMERAS, center="focus")


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    return llff.probe_poses_bounds(data_dir, forward_facing=False)


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read the cameras of either file, and find their images.

    Raises:
        SceneError: both are missing, a value is wrong, or the images do not fit.
        MissingPackageError: there is a sparse model, and pycolmap is not installed.
    """
    if colmap.model_folders(data_dir):
        return colmap.read(data_dir, options)
    file = llff.read_poses_bounds(data_dir / llff.FILE_NAME)
    return llff.describe(data_dir, options, file, PLACEMENT, None)
