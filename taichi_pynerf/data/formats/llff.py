"""LLFF's forward-facing scenes: `poses_bounds.npy` beside photographs.

Format: Mildenhall et al., Local Light Field Fusion (SIGGRAPH 2019). A row of 17 numbers for each
image in order of their names: a 3x5 matrix, whose columns are the camera's down, right and backward
axes, its position, and the image's height, width and focal length in pixels; then the nearest and
the farthest depth that the image shows. Images are in `images`, and reduced ones in `images_8` and
the like. Every eighth image is held out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.data.formats.photos import (
    fit_to_files,
    image_folder,
    list_images,
    pinhole_cameras,
)
from taichi_pynerf.data.formats.poses import check_rigid, hold_out_every_eighth
from taichi_pynerf.data.placement import (
    FROM_CAMERAS,
    MAX_COORDINATE,
    Placement,
    SceneTransform,
    transform_from_poses,
)
from taichi_pynerf.data.scene_files import LoadOptions, SceneFiles, image_names, read_npy
from taichi_pynerf.errors import SceneError

SPLITS = ("test", "train", "val")
FILE_NAME = "poses_bounds.npy"
MAX_SIDE = 1e5
MAX_FOCAL = 1e7

FORWARD_FACING = 0.8
"""Views face forward if the mean of their unit axes is longer than this. It is 0.9 and more in
LLFF's scenes, and less than 0.6 around an object."""

NEAR_MARGIN, FAR_MARGIN = 0.9, 2.0
"""Bounds are of the points that structure from motion found; surfaces go on beyond them."""


@dataclass(frozen=True, eq=False)
class PosesBounds:
    """What `poses_bounds.npy` holds.

    Attributes:
        poses: [V, 3, 4] float64 camera-to-world poses in OpenGL axes.
        height, width, focal: [V] float64, of the images at full size.
        near, far: [V] float64, the bounds of the depth.
    """

    poses: np.ndarray
    height: np.ndarray
    width: np.ndarray
    focal: np.ndarray
    near: np.ndarray
    far: np.ndarray


def detect(data_dir: Path) -> bool:
    """Whether the folder looks like a scene of this format."""
    path = data_dir / FILE_NAME
    if not path.is_file():
        return False
    axes = read_poses_bounds(path).poses[:, :, 2]
    return bool(np.linalg.norm(axes.mean(axis=0)) > FORWARD_FACING)


def splits(data_dir: Path) -> list[str]:
    """The splits that have images."""
    num_views = len(read_poses_bounds(data_dir / FILE_NAME).poses)
    return [split for split in SPLITS if hold_out_every_eighth(num_views, split)]


def parse(data_dir: Path, split: str, options: LoadOptions) -> SceneFiles:
    """Read and check `poses_bounds.npy`, and find its images.

    The scene box reaches from the nearest depth to as far beyond the depth that the views are
    focused on, as LLFF computes it for its spiral path; the rest is beyond the box.

    Raises:
        SceneError: the file is missing or something in it is wrong, or the images are not as many.
    """
    file = read_poses_bounds(data_dir / FILE_NAME)
    asked = options.placement
    if (asked.orientation, asked.center, asked.auto_scale) == (None, None, None):
        transform = _forward_facing_transform(file)
    else:
        transform = transform_from_poses(file.poses, asked.or_else(FROM_CAMERAS))
    return scene_from_poses_bounds(data_dir, split, options, file, transform)


def scene_from_poses_bounds(
    data_dir: Path, split: str, options: LoadOptions, file: PosesBounds, transform: SceneTransform
) -> SceneFiles:
    """An unbounded scene with the cameras of `poses_bounds.npy`, placed by a transform.

    Raises:
        SceneError: the images are not as many as the poses.
    """
    folder, are_reduced = image_folder(data_dir, options.img_downscale)
    paths = list_images(folder)
    if len(paths) != len(file.poses):
        raise SceneError(
            f"{folder}: has {len(paths)} PNG and JPEG images, and {data_dir / FILE_NAME} poses of "
            f"{len(file.poses)}"
        )
    files = SceneFiles(
        image_paths=paths,
        cameras=pinhole_cameras(
            *map(
                torch.from_numpy,
                (transform.apply_to_poses(file.poses), file.width, file.height, file.focal),
            )
        ),
        names=image_names([path.name for path in paths]),
        near=NEAR_MARGIN * float(file.near.min()) * transform.scale,
        far=FAR_MARGIN * float(file.far.max()) * transform.scale,
        aabb=options.placement.or_else(Placement(scene_scale=1.0)).box(),
        split=split,
        unbounded=True,
        transform=transform,
    )
    files = files.select(hold_out_every_eighth(len(paths), split))
    return fit_to_files(files, options.img_downscale, are_reduced=are_reduced)


def read_poses_bounds(path: Path) -> PosesBounds:
    """Read and check `poses_bounds.npy`.

    Raises:
        SceneError: the file is missing, or something in it is wrong.
    """
    rows = read_npy(path)
    if rows.ndim != 2 or rows.shape[1] != 17 or not len(rows):
        raise SceneError(f"{path}: must have 17 numbers for each image, not {list(rows.shape)}")
    if not np.isfinite(rows).all():
        raise SceneError(f"{path}: has a value that is not finite")
    matrices = rows[:, :15].reshape(-1, 3, 5)
    down, right, backward, position, size = np.moveaxis(matrices, -1, 0)
    poses = np.stack([right, -down, backward, position], axis=-1)
    for i, pose in enumerate(poses):
        check_rigid(f"{path}: row {i}", pose, "the pose")
    (height, width, focal), (near, far) = size.T, rows[:, 15:].T
    for name, values, low, high in (
        ("height", height, 1.0, MAX_SIDE),
        ("width", width, 1.0, MAX_SIDE),
        ("focal length", focal, 1e-2, MAX_FOCAL),
        ("nearest depth", near, 1e-6, MAX_COORDINATE),
        ("farthest depth", far, 1e-6, MAX_COORDINATE),
    ):
        bad = ((values < low) | (values > high)).nonzero()[0]
        if len(bad):
            raise SceneError(
                f"{path}: row {bad[0]}: the {name} is {values[bad[0]]:g}: it must be from {low:g} "
                f"to {high:g}"
            )
    if (far <= near).any():
        raise SceneError(f"{path}: row {(far <= near).argmax()}: the farthest depth is no greater "
                         "than the nearest")  # fmt: skip
    return PosesBounds(poses, height.round(), width.round(), focal, near, far)


def _forward_facing_transform(file: PosesBounds) -> SceneTransform:
    """The mean camera looks along +y with z up, at the origin, and the box is [-1, 1]^3."""
    backward = _unit(file.poses[:, :, 2].mean(axis=0))
    right = _unit(np.cross(file.poses[:, :, 1].mean(axis=0), backward))
    rotation = np.stack([right, -backward, np.cross(backward, right)])
    near, far = NEAR_MARGIN * file.near.min(), file.far.max()
    # The depth whose inverse is three quarters of the way from that of near to that of far.
    focus = 1.0 / (0.25 / near + 0.75 / far)
    center = file.poses[:, :, 3].mean(axis=0) - focus * backward
    matrix = np.concatenate([rotation, -rotation @ center[:, None]], axis=1)
    return SceneTransform(matrix, scale=float(1.0 / (focus - near)))


def _unit(vector: np.ndarray) -> np.ndarray:
    """The vector with length 1; any direction if it has none (for views that cancel out)."""
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-9 else np.array([1.0, 0.0, 0.0])
