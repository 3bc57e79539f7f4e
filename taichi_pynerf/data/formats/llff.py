"""LLFF's forward-facing scenes: `poses_bounds.npy` beside photographs.

Format: Mildenhall et al., Local Light Field Fusion (SIGGRAPH 2019). There is a row of 17 numbers
for each image, sorted by name. First comes a 3x5 matrix, whose columns are the camera's down, right
and backward axes, its position, and the image's height, width and focal length in pixels. Then come
the nearest and the farthest depth that the image shows. Images are in `images`, and reduced ones in
`images_8` and the like. Every eighth image is held out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import HELD_OUT_EVERY, Description, hold_out
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import MAX_FOCAL, MAX_SIDE, Lens
from taichi_pynerf.data.formats.photos import image_folder
from taichi_pynerf.data.formats.poses import check_rigid
from taichi_pynerf.data.image_files import (
    counted_suffixes,
    image_names,
    is_readable,
    list_images,
    list_photos,
)
from taichi_pynerf.data.placement import (
    FROM_CAMERAS,
    MAX_COORDINATE,
    Placement,
    SceneTransform,
)
from taichi_pynerf.data.scene_files import LoadOptions, read_npy, read_text
from taichi_pynerf.errors import SceneError

IMAGE_FOLDERS = ("images", "input", "rgb", "image")
FILE_NAME = "poses_bounds.npy"
LIST_NAME = "view_imgs.txt"
"""The names of the images that have a pose, as changed copies of LLFF's scripts write it."""

FORWARD_FACING = 0.8
"""Least length of the mean of the views' unit axes for "facing forward". It is at least 0.9 in
LLFF's scenes, and less than 0.6 around an object."""

NEAR_MARGIN, FAR_MARGIN = 0.9, 2.0
"""Factors for the bounds, which are those of points found by structure from motion; surfaces extend
beyond these points."""


@dataclass(frozen=True, eq=False)
class PosesBounds:
    """The content of `poses_bounds.npy`.

    Attributes:
        poses: [V, 3, 4] float64 camera-to-world poses in OpenGL axes.
        height, width, focal: [V] float64, of the images at full size, pixels.
        near, far: [V] float64, bounds of the depth, the file's units.
    """

    poses: np.ndarray
    height: np.ndarray
    width: np.ndarray
    focal: np.ndarray
    near: np.ndarray
    far: np.ndarray


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    return probe_poses_bounds(data_dir, forward_facing=True)


def probe_poses_bounds(data_dir: Path, *, forward_facing: bool) -> Fit:
    """How well the folder fits, judged by whether its views face forward."""
    path = data_dir / FILE_NAME
    if not path.is_file():
        return Fit(False, "", f"no {FILE_NAME}")
    try:
        axes = read_poses_bounds(path).poses[:, :, 2]
    except SceneError as error:
        fault = str(error).removeprefix(f"{path}: ")
        return Fit(False, FILE_NAME, f"{FILE_NAME}: {fault}", is_claimed=True)
    found = f"{FILE_NAME} of {len(axes)} views"
    faces = bool(np.linalg.norm(axes.mean(axis=0)) > FORWARD_FACING)
    if faces == forward_facing:
        return Fit(True, f"{found}, {'facing forward' if faces else 'all around'}")
    return Fit(False, found, "views facing forward" if forward_facing else "views all around")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check `poses_bounds.npy`, and find its images.

    The scene box reaches from the nearest depth to equally far beyond the depth of focus, as LLFF
    computes it for its spiral path. Everything else is outside of the box.

    Raises:
        SceneError: the file is missing, a value in it is wrong, or the number of images differs.
    """
    file = read_poses_bounds(data_dir / FILE_NAME)
    return describe(data_dir, options, file, FROM_CAMERAS, _forward_facing_transform(file))


def describe(
    data_dir: Path,
    options: LoadOptions,
    file: PosesBounds,
    placement: Placement,
    transform: SceneTransform | None,
) -> Description:
    """An unbounded scene with the cameras of `poses_bounds.npy`.

    Raises:
        SceneError: the number of images is not that of the poses.
    """
    folder, scale = image_folder(data_dir, options.img_downscale, (), IMAGE_FOLDERS)
    paths = _registered(data_dir, list_images(folder, deep=True))
    if len(paths) != len(file.poses):
        others = [path for path in list_photos(folder, deep=True) if not is_readable(path)]
        hint = f" (and {counted_suffixes(others)}, which are not read)" if others else ""
        raise SceneError(
            f"{folder}: has {len(paths)} images{hint}, and {data_dir / FILE_NAME} poses of "
            f"{len(file.poses)}, so it is unclear which belong together; {LIST_NAME} may name "
            "the images that have one, a line each"
        )
    lenses = [
        Lens(int(width), int(height), focal, focal, 0.5 * width, 0.5 * height)
        for width, height, focal in zip(file.width, file.height, file.focal, strict=True)
    ]
    return Description(
        data_dir=data_dir,
        origin=data_dir / FILE_NAME,
        names=image_names([str(path.relative_to(folder)) for path in paths]),
        image_paths=paths,
        poses=file.poses,
        lenses=lenses,
        splits=hold_out(list(range(len(paths))), HELD_OUT_EVERY),
        placement=placement,
        unbounded=True,
        near=NEAR_MARGIN * float(file.near.min()),
        far=FAR_MARGIN * float(file.far.max()),
        transform=transform,
        file_scale=scale,
    )


def _registered(data_dir: Path, paths: list[Path]) -> list[Path]:
    """The images that have poses: those that a list names, or all without one."""
    path = data_dir / LIST_NAME
    if not path.is_file():
        return paths
    names = {
        line.strip().replace("\\", "/").rpartition("/")[2] for line in read_text(path).splitlines()
    }
    return [image for image in paths if image.name in names]


def read_poses_bounds(path: Path) -> PosesBounds:
    """Read and check `poses_bounds.npy`.

    Raises:
        SceneError: the file is missing, or a value in it is wrong.
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
    """The transform that puts the mean camera at the origin, looking along +y with z up."""
    backward = _unit(file.poses[:, :, 2].mean(axis=0))
    right = _unit(np.cross(file.poses[:, :, 1].mean(axis=0), backward))
    rotation = np.stack([right, -backward, np.cross(backward, right)])
    near, far = NEAR_MARGIN * file.near.min(), file.far.max()
    # Depth of focus: in disparity three quarters of the way from near to far.
    focus = 1.0 / (0.25 / near + 0.75 / far)
    center = file.poses[:, :, 3].mean(axis=0) - focus * backward
    matrix = np.concatenate([rotation, -rotation @ center[:, None]], axis=1)
    return SceneTransform(matrix, scale=float(1.0 / (focus - near)))


def _unit(vector: np.ndarray) -> np.ndarray:
    """The unit vector of this direction; any unit vector if it has length 0 (views cancel out)."""
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-9 else np.array([1.0, 0.0, 0.0])
