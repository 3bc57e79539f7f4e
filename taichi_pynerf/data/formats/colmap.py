"""COLMAP's sparse models beside their images, read by pycolmap (extra `colmap`).

Format: https://colmap.github.io/format.html. The files `cameras`, `images` and `points3D`, `.bin`
or `.txt`, are in `sparse/0` or another place where scripts put them. Images are in `images` or
`input`, or in the folder itself. Every eighth image is held out.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from taichi_pynerf.data.description import HELD_OUT_EVERY, Description, hold_out
from taichi_pynerf.data.formats.colmap_files.binary import check_counts
from taichi_pynerf.data.formats.colmap_files.names import names_of
from taichi_pynerf.data.formats.colmap_files.text import check_texts
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens, lens_from_colmap
from taichi_pynerf.data.formats.listed_splits import listed_splits
from taichi_pynerf.data.formats.photos import image_folder, tell_idle, tell_missing
from taichi_pynerf.data.formats.poses import check_rigid, opengl_pose_of_extrinsics
from taichi_pynerf.data.formats.sparse_points import (
    NEAR_MARGIN,
    NEAREST_SHARE,
    read_ply_points,
    reliable_points,
)
from taichi_pynerf.data.image_files import ImageFinder, image_names, subfolders
from taichi_pynerf.data.placement import FROM_CAMERAS
from taichi_pynerf.data.scene_files import LoadOptions, checked_text, note, warn_once
from taichi_pynerf.errors import SceneError
from taichi_pynerf.extras import optional

if TYPE_CHECKING:
    from pycolmap import Reconstruction

FROM_POINTS = replace(FROM_CAMERAS, center="points")

PLACES = (
    "sparse", "colmap/sparse", "colmap", "dense/sparse", "dense", "distorted/sparse", "undistorted",
    "undistorted/sparse", "colmap_text", "colmap_sparse", ".",
)  # fmt: skip
"""Folders that may hold a sparse model, or a numbered folder for each of several, as `sparse/0`.
The first of these folders that has any models is used."""

IMAGE_FOLDERS = ("images", "input", "rgb", "image", "imgs", "photos", "frames", ".")
FILES = ("cameras", "images")
DEEPEST, MOST_FOLDERS = 3, 100  # levels and folders that are searched for models elsewhere

POINTS_NAME = "points3D.ply"
"""Points alone, as programs for Gaussian splatting keep them; for a model that has no others."""

MAX_MODEL_BYTES = 2**30
"""Largest model file that is copied, in bytes."""


@dataclass(frozen=True, eq=False)
class SparseModel:
    """The registered images of a sparse model, sorted by name, and its points.

    Attributes:
        names: V image paths relative to the image folder.
        poses: [V, 3, 4] float64 camera-to-world poses in OpenGL axes.
        lenses: V lenses.
        points: [K, 3] float64, the points.
        depths: [D] float64, depths of points in images that see them.
        sightings: V arrays float64 [K, 3] of the reliable points that an image sees: their place
            in it as shares of its width and height, and their depth along the optical axis.
    """

    names: list[str]
    poses: np.ndarray
    lenses: list[Lens]
    points: np.ndarray
    depths: np.ndarray
    sightings: list[np.ndarray]


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    models = model_folders(data_dir)
    if models:
        place = models[0].relative_to(data_dir)
        return Fit(True, f"a sparse model in {place}" if place.parts else "a sparse model")
    for place_name in PLACES:
        for folder in _folders_in(data_dir / place_name):
            there = [name for name in FILES if _file(folder, name) is not None]
            if there:
                (gone,) = set(FILES) - set(there)
                where = folder.relative_to(data_dir)
                return Fit(False, f"{where / there[0]}", f"no {where / gone}.bin or .txt")
    for place_name in PLACES[:-1]:
        if (data_dir / place_name).is_dir():
            return Fit(False, f"a folder {place_name}", f"no cameras.bin or .txt in {place_name}")
    if any(data_dir.glob("*.db")):
        return Fit(False, "a COLMAP database", "no sparse model in sparse/0 (run COLMAP's mapper)")
    return Fit(False, "", "no sparse model in sparse/0")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the largest sparse model, and find its images.

    Raises:
        SceneError: there is no model, a value in it is wrong, or no image is there.
        MissingPackageError: pycolmap is not installed.
    """
    models = model_folders(data_dir)
    if options.colmap_path is not None:
        models = [_asked(data_dir, options.colmap_path)]
    if not models:
        raise SceneError(
            f"{data_dir}: no sparse model here: cameras and images, .bin or .txt, in one of "
            f"{', '.join(PLACES)} or a numbered folder in one of them"
        )
    folder, model = largest_model(models)
    base = _base_of(data_dir, folder) if folder.is_relative_to(data_dir) else data_dir
    places = [*IMAGE_FOLDERS, *_dense_folders(data_dir)]
    if base != data_dir:
        places = [*_relative(data_dir, base), *places]
    image_dir, scale = image_folder(data_dir, options.img_downscale, model.names, places)
    _tell_undistorted(data_dir, folder, image_dir, model)
    finder = ImageFinder(
        image_dir, root=data_dir, allow_external_paths=options.allow_external_paths
    )
    paths = finder.find_all(model.names, [str(folder)] * len(model.names))
    present = [i for i, path in enumerate(paths) if path is not None]
    images = [path for path in paths if path is not None]
    missing = [name for name, path in zip(model.names, paths, strict=True) if path is None]
    tell_missing(folder, missing, len(model.names))
    tell_idle(folder, images, IMAGE_FOLDERS[:-1], data_dir=data_dir)
    near = None
    if len(model.depths):
        near = NEAR_MARGIN * float(np.quantile(model.depths, NEAREST_SHARE))
    return Description(
        data_dir=data_dir,
        origin=folder,
        names=image_names([model.names[i] for i in present]),
        image_paths=images,
        poses=model.poses[present],
        lenses=[model.lenses[i] for i in present],
        splits=listed_splits(data_dir, [model.names[i] for i in present])
        or hold_out(list(range(len(present))), HELD_OUT_EVERY),
        placement=FROM_POINTS,
        unbounded=True,
        near=near,
        points=model.points,
        sightings=[model.sightings[i] for i in present],
        file_scale=scale,
    )


def _asked(data_dir: Path, colmap_path: str) -> Path:
    """The folder of the model that the user asks for.

    Raises:
        SceneError: there is no model; the message lists those that are there.
    """
    folder = data_dir / colmap_path
    try:
        if _is_model(folder):
            return folder
    except (OSError, ValueError):  # too long, a null byte
        pass
    known = [str(found.relative_to(data_dir)) for found in model_folders(data_dir)]
    raise SceneError(
        f"{folder}: no sparse model, which is cameras and images, .bin or .txt; models in this "
        f"scene: {', '.join(known) or 'none'}"
    )


def model_folders(data_dir: Path) -> list[Path]:
    """The folders of a scene's sparse models: all those in the first place that has any.

    If no usual place has one, all those below the folder.
    """
    for place in PLACES:
        folders = _folders_in(data_dir / place)
        note(data_dir / place, *folders)
        found = [folder for folder in folders if _is_model(folder)]
        if found:
            return found
    return _remote_models(data_dir)


def _is_model(folder: Path) -> bool:
    return all(_file(folder, name) is not None for name in FILES)


def _remote_models(data_dir: Path) -> list[Path]:
    """Models somewhere below a folder of images, as hloc's `outputs/sfm_…`.

    Without images beside it the folder is rather one of several scenes.
    """
    if not any((data_dir / name).is_dir() for name in IMAGE_FOLDERS[:-1]):
        return []
    images = {data_dir / name for name in IMAGE_FOLDERS}
    level, found = [data_dir], list[Path]()
    for _ in range(DEEPEST):
        level = [
            path
            for folder in level
            for path in subfolders(folder)[:MOST_FOLDERS]
            if path not in images
        ][:MOST_FOLDERS]
        note(*level)
        found += [folder for folder in level if _is_model(folder)]
    bases = [_base_of(data_dir, folder) for folder in found]
    own = [any((base / name).is_dir() for name in IMAGE_FOLDERS[:-1]) for base in bases]
    return [  # a model with images beside it is a scene of its own
        found[i] for i, base in enumerate(bases) if base == data_dir or not own[i]
    ]


def _folders_in(folder: Path) -> list[Path]:
    """A folder and the numbered folders in it (`0`, `1`, or `0/sparse` as in COLMAP's `dense`)."""
    if not folder.is_dir():
        return []
    numbered = sorted(
        (path for path in folder.iterdir() if path.name.isdigit() and path.is_dir()),
        key=lambda path: (len(path.name), path.name),
    )
    return [folder, *numbered, *(path / "sparse" for path in numbered)]


def _file(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}{suffix}" for suffix in (".bin", ".txt"))
    return next((path for path in paths if path.is_file()), None)


def largest_model(folders: list[Path]) -> tuple[Path, SparseModel]:
    """The model with the most registered images; a warning lists the others."""
    if len(folders) == 1:
        return folders[0], read_model(folders[0])
    models, faults = {}, []
    for folder in folders:
        try:
            models[folder] = read_model(folder)
        except SceneError as error:
            faults.append(error)
    if not models:
        raise faults[0]
    largest = max(models, key=lambda folder: len(models[folder].names))
    others = [f"{f.name} has {len(m.names)}" for f, m in models.items() if f != largest]
    others += [str(error) for error in faults]
    warn_once(
        f"{largest.parent}: {len(folders)} sparse models, which do not share their coordinates; "
        f"the largest, {largest.name} with {len(models[largest].names)} images, is taken "
        f"({', '.join(others)}); --colmap_path takes another"
    )
    return largest, models[largest]


def _base_of(data_dir: Path, folder: Path) -> Path:
    """The folder that holds a sparse model and its images: `dense/0` for `dense/0/sparse`."""
    base = folder
    while base != data_dir and (base.name.isdigit() or base.name.startswith(("sparse", "colmap"))):
        if base.parent.name == "dense" and base.name.isdigit():
            break
        base = base.parent
    return base


def _relative(data_dir: Path, base: Path) -> list[str]:
    return [str(base.relative_to(data_dir) / folder) for folder in ("images", ".")]


def _dense_folders(data_dir: Path) -> list[str]:
    folders = [
        data_dir / "dense",
        *sorted((data_dir / "dense").glob("*")),
        data_dir / "undistorted",
    ]
    return [
        str((folder / "images").relative_to(data_dir))
        for folder in folders
        if (folder / "images").is_dir()
    ]


def _tell_undistorted(data_dir: Path, folder: Path, image_dir: Path, model: SparseModel) -> None:
    """Warn if images were probably undistorted after the model was made."""
    parts = image_dir.relative_to(data_dir).parts
    apart = parts[:1] in (("dense",), ("undistorted",)) and not folder.is_relative_to(
        image_dir.parent
    )
    if apart and any(any(lens.distortion) for lens in model.lenses):
        warn_once(
            f"{folder}: its cameras have distortion, and the images found, in {image_dir}, are "
            "probably undistorted ones: give the folder that has these images and their own model"
        )


def read_model(folder: Path) -> SparseModel:
    """Read and check a sparse model; its points may be missing.

    Raises:
        SceneError: a value in it is wrong, or no image is registered.
        MissingPackageError: pycolmap is not installed.
    """
    pycolmap = optional("pycolmap", "colmap")
    note(*folder.iterdir())
    check_counts(folder)
    check_texts(folder)
    try:
        if _file(folder, "points3D") is None:
            model = _without_points(pycolmap, folder)
        else:
            model = pycolmap.Reconstruction(folder)
    except (ValueError, RuntimeError, OSError, IndexError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SceneError(f"{folder}: this sparse model cannot be read ({reason})") from None
    given_names = names_of(model, folder, _file(folder, "images"))
    images = sorted(
        ((given_names[number], image) for number, image in model.images.items() if image.has_pose),
        key=lambda named: named[0],
    )
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
    reliable = reliable_points(model)
    names, poses, sightings = [], [], []
    seen_depths: list[float] = []
    for given, image in images:
        name = checked_text(str(folder), {"name": given}, "name")
        world_to_camera = image.cam_from_world
        matrix = (world_to_camera() if callable(world_to_camera) else world_to_camera).matrix()
        if not np.isfinite(matrix).all():
            raise SceneError(f"{folder}: the pose of {name} is not finite")
        pose = opengl_pose_of_extrinsics(matrix[:, :3], matrix[:, 3])
        check_rigid(f"{folder}: {name}", pose, "the pose")
        names.append(name)
        poses.append(pose)
        ids = (p.point3D_id for p in image.points2D if p.has_point3D())
        seen = [points[number] for number in ids if number in points]
        seen_depths.extend(np.reshape(seen, (-1, 3)) @ matrix[2, :3] + matrix[2, 3])
        lens = lenses[image.camera_id]
        marks = [p for p in image.points2D if p.has_point3D() and p.point3D_id in reliable]
        places = np.reshape([p.xy for p in marks], (-1, 2)) / (lens.width, lens.height)
        known = np.reshape([points[p.point3D_id] for p in marks], (-1, 3))
        sightings.append(np.column_stack([places, known @ matrix[2, :3] + matrix[2, 3]]))
    depths = np.array(seen_depths)
    all_points = np.reshape(list(points.values()), (-1, 3))
    if not len(all_points) and (folder / POINTS_NAME).is_file():
        loose = read_ply_points(folder / POINTS_NAME)
        all_points = all_points if loose is None else loose
    return SparseModel(
        names=names,
        poses=np.stack(poses),
        lenses=[lenses[image.camera_id] for _, image in images],
        points=all_points[np.isfinite(all_points).all(axis=1)],
        depths=depths[np.isfinite(depths) & (depths > 0.0)],
        sightings=sightings,
    )


def _without_points(pycolmap: ModuleType, folder: Path) -> Reconstruction:
    """Read a model that lacks its points, with an empty list in their place."""
    suffix = ".bin" if (folder / "images.bin").is_file() else ".txt"
    with tempfile.TemporaryDirectory() as whole:
        for path in folder.iterdir():
            if path.suffix == suffix and path.is_file():
                if path.stat().st_size > MAX_MODEL_BYTES:
                    raise SceneError(f"{path}: larger than {MAX_MODEL_BYTES // 2**20} MiB")
                shutil.copyfile(path, Path(whole) / path.name)
        empty = bytes(8) if suffix == ".bin" else b""
        (Path(whole) / f"points3D{suffix}").write_bytes(empty)
        return pycolmap.Reconstruction(whole)
