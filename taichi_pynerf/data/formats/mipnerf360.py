"""Mip-NeRF 360's scenes: photographs all around, with a sparse model or `poses_bounds.npy`.

Format: Barron et al., Mip-NeRF 360 (CVPR 2022). Images are in `images`, and reduced ones in
`images_2`, `images_4` and `images_8`; cameras in `sparse/0`, as COLMAP wrote them, which has the
say, or in `poses_bounds.npy`, as LLFF has it. Every eighth image is held out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from taichi_pynerf.data.formats import colmap, llff
from taichi_pynerf.data.placement import FROM_CAMERAS, transform_from_poses
from taichi_pynerf.data.scene_files import LoadOptions, SceneFiles

PLACEMENT = replace(FROM_CAMERAS, center="focus")


def detect(data_dir: Path) -> bool:
    """Whether the folder looks like a scene of this format."""
    return (data_dir / llff.FILE_NAME).is_file() and not llff.detect(data_dir)


def splits(data_dir: Path) -> list[str]:
    """The splits that have images."""
    return (colmap if colmap.detect(data_dir) else llff).splits(data_dir)


def parse(data_dir: Path, split: str, options: LoadOptions) -> SceneFiles:
    """Read the cameras of either file, and find their images.

    Raises:
        SceneError: both files are missing or something in one is wrong, or the images do not fit.
        MissingPackageError: there is a sparse model, and pycolmap is not installed.
    """
    if colmap.detect(data_dir):
        return colmap.parse(data_dir, split, options)
    file = llff.read_poses_bounds(data_dir / llff.FILE_NAME)
    transform = transform_from_poses(file.poses, options.placement.or_else(PLACEMENT))
    return llff.scene_from_poses_bounds(data_dir, split, options, file, transform)
