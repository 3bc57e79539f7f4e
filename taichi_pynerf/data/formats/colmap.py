"""COLMAP's sparse models beside their images, read by pycolmap (extra `colmap`).

Format: https://colmap.github.io/format.html. The files `cameras`, `images` and `points3D`, `.bin`
or `.txt`, in `sparse/0`, `sparse`, `colmap/sparse/0` or the folder itself; images in `images`.
Every eighth image is held out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from taichi_pynerf.data.formats.lenses import Lens, cameras_from_lenses, lens_from_colmap
from taichi_pynerf.data.formats.photos import fit_to_files, image_folder, tell_missing
from taichi_pynerf.data.formats.poses import (
    OPENCV_TO_OPENGL,
    check_rigid,
    hold_out_every_eighth,
    near_and_far,
)
from taichi_pynerf.data.placement import FROM_CAMERAS, transform_from_poses
from taichi_pynerf.data.scene_files import (
    LoadOptions,
    SceneFiles,
    checked_text,
    find_file,
    image_names,
)
from taichi_pynerf.errors import SceneError
from taichi_pynerf.extras import optional

SPLITS = ("test", "train", "val")
FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", ".")
FROM_POINTS = replace(FROM_CAMERAS, center="points")

NEAR_MARGIN = 0.5
"""Share of the depth of the nearest points (less 1 in 100, which may be wrong) that is near."""


@dataclass(frozen=True, eq=False)
class SparseModel:
    """What a sparse model holds of its registered images, in order of their names.

    Attributes:
        names: V image paths relative to the image folder.
        poses: [V, 3, 4] float64 camera-to-world poses in OpenGL axes.
        lenses: V lenses.
        points: [K, 3] float64, the points.
        depths: float64, the depth of points in images that see them, for any number of pairs.
    """

    names: list[str]
    poses: np.ndarray
    lenses: list[Lens]
    points: np.ndarray
    depths: np.ndarray


def detect(data_dir: Path) -> bool:
    """Whether the folder looks like a scene of this format."""
    return model_folder(data_dir) is not None


def splits(data_dir: Path) -> list[str]:
    """The splits: every scene of photographs has all."""
    return list(SPLITS)


def parse(data_dir: Path, split: str, options: LoadOptions) -> SceneFiles:
    """Read and check a sparse model, and find its images.

    Raises:
        SceneError: there is no model or something in it is wrong, or no image is there.
        MissingPackageError: pycolmap is not installed.
    """
    folder = model_folder(data_dir)
    if folder is None:
        raise SceneError(
            f"{data_dir}: no sparse model here: cameras, images and points3D, .bin or .txt, in one "
            f"of {', '.join(FOLDERS)}"
        )
    model = read_model(folder)
    image_dir, are_reduced = image_folder(data_dir, options.img_downscale)
    present, paths, missing = [], [], []
    for i, name in enumerate(model.names):
        path = find_file(
            image_dir, name, str(folder), allow_external_paths=options.allow_external_paths
        )
        if path is None:
            missing.append(name)
        else:
            present.append(i)
            paths.append(path)
    tell_missing(folder, missing, len(model.names))
    placement = options.placement.or_else(FROM_POINTS)
    transform = transform_from_poses(model.poses, placement, model.points)
    poses = transform.apply_to_poses(model.poses[present])
    near, far = near_and_far(poses, placement.box())
    if len(model.depths):
        near = NEAR_MARGIN * float(np.quantile(model.depths, 0.01)) * transform.scale
    files = SceneFiles(
        image_paths=paths,
        cameras=cameras_from_lenses(poses, [model.lenses[i] for i in present]),
        names=image_names([model.names[i] for i in present]),
        near=near,
        far=far,
        aabb=placement.box(),
        split=split,
        unbounded=True,
        transform=transform,
    )
    indices = hold_out_every_eighth(len(paths), split)
    if not indices:
        raise SceneError(f"{folder}: a lone image makes no {split} split")
    return fit_to_files(files.select(indices), options.img_downscale, are_reduced=are_reduced)


def model_folder(data_dir: Path) -> Path | None:
    """Where a scene folder has its sparse model."""
    for folder in FOLDERS:
        for suffix in (".bin", ".txt"):
            names = [data_dir / folder / f"{name}{suffix}" for name in ("cameras", "images")]
            if all(name.is_file() for name in names):
                return data_dir / folder
    return None


def read_model(folder: Path) -> SparseModel:
    """Read and check a sparse model.

    Raises:
        SceneError: something in it is wrong, or no image is registered.
        MissingPackageError: pycolmap is not installed.
    """
    pycolmap = optional("pycolmap", "colmap")
    try:
        model = pycolmap.Reconstruction(folder)
    except (ValueError, RuntimeError, OSError, IndexError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SceneError(f"{folder}: this sparse model cannot be read ({reason})") from None
    images = sorted((i for i in model.images.values() if i.has_pose), key=lambda i: i.name)
    if not images:
        raise SceneError(f"{folder}: no image of this sparse model is registered")
    lenses = {
        number: lens_from_colmap(
            f"{folder}: camera {number}",
            camera.model.name,
            camera.width,
            camera.height,
            camera.params,
        )
        for number, camera in model.cameras.items()
    }
    points = {number: point.xyz for number, point in model.points3D.items()}
    names, poses = [], []
    seen_depths: list[float] = []
    for image in images:
        name = checked_text(str(folder), {"name": image.name}, "name")
        world_to_camera = image.cam_from_world
        matrix = (world_to_camera() if callable(world_to_camera) else world_to_camera).matrix()
        if not np.isfinite(matrix).all():
            raise SceneError(f"{folder}: the pose of {name} is not finite")
        rotation = matrix[:, :3].T
        position = -rotation @ matrix[:, 3:]
        pose = np.concatenate([rotation @ OPENCV_TO_OPENGL, position], axis=1)
        check_rigid(f"{folder}: {name}", pose, "the pose")
        names.append(name)
        poses.append(pose)
        seen = [points[p.point3D_id] for p in image.points2D if p.has_point3D()]
        seen_depths.extend(np.reshape(seen, (-1, 3)) @ matrix[2, :3] + matrix[2, 3])
    depths = np.array(seen_depths)
    all_points = np.reshape(list(points.values()), (-1, 3))
    return SparseModel(
        names=names,
        poses=np.stack(poses),
        lenses=[lenses[image.camera_id] for image in images],
        points=all_points[np.isfinite(all_points).all(axis=1)],
        depths=depths[np.isfinite(depths) & (depths > 0.0)],
    )
