"""A report on a folder: its content, the files read as a scene, and why others are not read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit, frames_in
from taichi_pynerf.data.image_files import PHOTO_SUFFIXES, is_mask_name, is_readable
from taichi_pynerf.data.masks import MASK_FOLDERS
from taichi_pynerf.data.scene_files import SceneFiles, shown

MOST_FILES = 50_000
MOST_NAMES = 3

VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".insv", ".360")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
POSE_FILES = ("pose", "poses", "intrinsics", "intrinsic")
EACH = {"polycam": (".json",), "scanner-app": (".json",), "arkitscenes": (".pincam",)}
"""Formats with a file for each image, which has its name; and the suffix of these files."""

DESCRIPTIONS = ("cameras", "images", "points3D", "rigs", "frames")
"""Files of a sparse model, by their stems."""


def found_lines(folder: Path, fits: dict[str, Fit]) -> list[str]:
    """Lines about the content of a folder, and how well it fits each format.

    Args:
        folder: any folder.
        fits: how well it fits each format, by name.
    """
    counts: dict[str, Counter[str]] = {}
    for path in _files_in(folder):
        place = str(path.parent.relative_to(folder))
        counts.setdefault(place, Counter())[path.suffix.lower() or "without suffix"] += 1
    lines = []
    for place, kinds in sorted(counts.items())[:12]:
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))
        lines.append(f"found      {'' if place == '.' else f'{place}/: '}{listed}")
    if len(counts) > 12:
        lines.append(f"found      … and {len(counts) - 12} more folders")
    for name, fit in fits.items():
        if fit.fits:
            lines.append(f"format     {name} fits: {fit.found}")
        elif fit.found:
            lines.append(f"format     {name} does not: there is {fit.found}, but {fit.missing}")
    return lines or ["found      nothing"]


def taken_lines(scene: Description, splits: dict[str, SceneFiles]) -> list[str]:
    """Lines about the files of a scene's folder that are read."""
    folder = scene.data_dir
    origin = scene.origin
    place = "" if origin == folder else f" in {_relative(origin, folder)}"
    images = {path for files in splits.values() for path in files.image_paths}
    masks = {path for files in splits.values() for path in files.mask_paths or () if path}
    places = Counter(_relative(path.parent, folder) for path in images)
    listed = ", ".join(f"{count} from {where}/" for where, count in sorted(places.items())[:6])
    lines = [f"taken      poses of {len(scene.names)} views{place}", f"taken      images: {listed}"]
    if masks:
        lines.append(f"taken      {len(masks)} masks")
    if num_depths := sum(path is not None for path in scene.depth_paths or ()):
        lines.append(f"taken      {num_depths} depth images")
    if scene.points is not None:
        lines.append(f"taken      {len(scene.points)} points, for the placement")
    if scene.sightings is not None:
        seen = sum(len(found) for found in scene.sightings if found is not None)
        lines.append(f"taken      {seen} sightings of points in images, for depths to begin with")
    return lines


def ignored_lines(
    scene: Description, splits: dict[str, SceneFiles], dataset_type: str, fits: dict[str, Fit]
) -> list[str]:
    """Lines about the files of a scene's folder that are not read, and why."""
    used = {path for files in splits.values() for path in files.image_paths}
    used |= {path for path in scene.image_paths if path is not None}
    used |= {path for files in splits.values() for path in files.mask_paths or () if path}
    used |= {path for path in scene.depth_paths or () if path is not None}
    others = [name for name, fit in fits.items() if fit.fits and name != dataset_type]
    stems = {path.stem for path in scene.image_paths if path is not None}
    reasons: dict[str, list[str]] = {}
    for path in _files_in(scene.data_dir):
        if path in used or _describes(path, scene, dataset_type):
            continue
        if path.suffix in EACH.get(dataset_type, ()) and path.stem in stems:
            continue
        reason = _reason(path, scene, others)
        reasons.setdefault(reason, []).append(_relative(path, scene.data_dir))
    lines = []
    for reason, names in sorted(reasons.items(), key=lambda pair: -len(pair[1])):
        examples = ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
        lines.append(f"ignored    {len(names)} files ({shown(examples)[1:-1]}): {reason}")
    return lines


def _files_in(folder: Path) -> Iterator[Path]:
    """The files of a folder and its subfolders, sorted by name, without hidden ones."""
    count = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or count == MOST_FILES:
                continue
            count += 1
            yield Path(place) / name


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _describes(path: Path, scene: Description, dataset_type: str) -> bool:
    """Whether a file is the scene's description, or a part of it."""
    if path == scene.origin:
        return True
    if dataset_type == "pose-files":
        top = path.parent == scene.data_dir and path.name in ("intrinsics.txt", "bbox.txt")
        return top or (path.suffix == ".txt" and path.parent.name in POSE_FILES)
    if dataset_type == "nerfstudio" and path.stem in DESCRIPTIONS:
        return scene.sightings is not None and "colmap" in path.parts
    if dataset_type == "nerfstudio" and path.suffix == ".ply":
        return scene.points is not None
    if scene.origin.is_dir() and path.parent == scene.origin:
        if dataset_type == "blender":
            return path.stem.removeprefix("transforms_") in scene.splits
        return path.stem in DESCRIPTIONS
    return False


def _reason(path: Path, scene: Description, others: list[str]) -> str:
    """Why a file is not read."""
    suffix, folder = path.suffix.lower(), scene.data_dir
    tops = path.relative_to(folder).parts[:-1]
    described = path.name == "transforms.json" or path.stem in DESCRIPTIONS or suffix == ".npy"
    if others and described:
        return f"of another format that fits too: --dataset_type {' or '.join(others)} reads it"
    if suffix == ".json":
        if frames_in(path)[0]:
            return "another description: give the file itself to load it"
        return "JSON without frames: of something else"
    if suffix in PHOTO_SUFFIXES:
        taken = {p.parent.name.rpartition("_")[0] for p in scene.image_paths if p is not None}
        for depth, top in enumerate(tops):
            name, _, k = top.rpartition("_")
            is_whole = name != "" and folder.joinpath(*tops[:depth], name).is_dir()
            is_sibling = scene.file_scale > 1 and name in taken
            if (is_whole or is_sibling) and k.isdecimal() and int(k) > 1:
                return f"reduced images: --img_downscale {k} takes those of {top}"
        if any(top in MASK_FOLDERS for top in tops) or is_mask_name(path):
            return "masks that are called like no image"
        if not is_readable(path):
            return f"{suffix} images are not read: convert them"
        return "images that no view names"
    if suffix in VIDEOS:
        return "videos: pynerf-photos makes a scene of one"
    if suffix in ARCHIVES:
        return "archives: unpack what is in them"
    return "not part of this format"
