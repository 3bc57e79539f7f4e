"""NeRF-synthetic ("Blender") scenes: one `transforms_<split>.json` per split, and its images.

Format: Mildenhall et al., NeRF (ECCV 2020). The file holds `camera_angle_x`, the horizontal angle
of view in radians, and `frames`, each with a `file_path` relative to the folder and a
camera-to-world `transform_matrix` in OpenGL axes. Converters and add-ons (torch-ngp, nerf2mesh,
BlenderNeRF) also write full intrinsics, in the file or in a frame, as in `transforms.json`. A split
may consist of poses alone, which were never rendered.
"""

from __future__ import annotations

import glob
from dataclasses import replace
from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit, frames_in
from taichi_pynerf.data.formats.frames import (
    FOCALS,
    Frame,
    circle_radius,
    depth_unit,
    lens_of,
    number_or,
    read_frames,
)
from taichi_pynerf.data.formats.photos import tell_idle, tell_missing
from taichi_pynerf.data.image_files import image_names
from taichi_pynerf.data.images import read_header
from taichi_pynerf.data.placement import AS_IT_IS
from taichi_pynerf.data.scene_files import LoadOptions, warn_once
from taichi_pynerf.errors import SceneError

PLACEMENT = replace(AS_IT_IS, scene_scale=1.5)
"""The box that all NeRF-synthetic objects lie in; the files do not give one."""

NEAR = 0.05
"""Just in front of any camera, world units. Rays are cut to the scene box, so little depends on it.
"""

USUAL_SPLITS = ("train", "val", "test")


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    paths = sorted(data_dir.glob("transforms_*.json"))
    usual = [path for path in paths if _split_of(path) in USUAL_SPLITS]
    if not usual:
        found = ", ".join(path.name for path in paths)
        return Fit(False, found, "no transforms_train.json (name a file itself to load it)")
    faults = {path.name: fault for path in usual if (fault := frames_in(path)[1])}
    if len(faults) == len(usual):
        name, fault = next(iter(faults.items()))
        return Fit(False, name, f"{name}: {fault}", is_claimed=True)
    return Fit(True, ", ".join(path.name for path in usual))


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the files of all splits.

    Raises:
        SceneError: there is no file, all images for training are missing, or a value is wrong.
    """
    paths = {_split_of(path): path for path in sorted(data_dir.glob("transforms_*.json"))}
    if not any(split in USUAL_SPLITS for split in paths):
        raise SceneError(f"{data_dir}: there is no transforms_train.json; splits in this folder: "
                         f"{', '.join(paths) or 'none'}")  # fmt: skip
    all_frames: list[Frame] = []
    names: list[str] = []
    splits: dict[str, list[int]] = {}
    unbounded = fits = False
    for split, path in paths.items():
        try:
            content, frames = read_frames(path, options)
        except SceneError as error:
            if split in USUAL_SPLITS:
                raise
            warn_once(f"{error}; not used, as it is no file of a split")
            continue
        frames = _with_images(path, split, frames)
        splits[split] = list(range(len(all_frames), len(all_frames) + len(frames)))
        all_frames += frames
        names += image_names([frame.file_path for frame in frames])
        scale = number_or(str(path), content, "aabb_scale", 1e-6, 1e6, 1.0)
        unbounded |= split == "train" and scale > 1.0 and _is_opaque(frames)
        fits |= _is_full(frames)
    if not any(frame.image_path for frame in all_frames):
        raise SceneError(
            f"{data_dir}: none of the images of {', '.join(p.name for p in paths.values())} is "
            f"there; the first is {all_frames[0].file_path}"
        )
    used = [p for f in all_frames for p in (f.image_path, f.mask_path, f.depth_path) if p]
    tell_idle(data_dir, used, data_dir=data_dir, companions=True)
    size_of = _sizes(splits, all_frames)
    depths = [_depth(frame) for frame in all_frames]
    return Description(
        data_dir=data_dir,
        origin=data_dir,
        names=names,
        image_paths=[frame.image_path for frame in all_frames],
        poses=np.stack([frame.pose() for frame in all_frames]),
        lenses=[
            lens_of(frame, _size_of(frame, size_of[i], fits)) for i, frame in enumerate(all_frames)
        ],
        splits=splits,
        placement=PLACEMENT,
        unbounded=unbounded,
        near=None if unbounded else NEAR,
        mask_paths=[frame.mask_path for frame in all_frames],
        circle_radii=[circle_radius(frame) for frame in all_frames],
        depth_paths=[path for path, _ in depths],
        depth_units=[unit for _, unit in depths],
        fits_files=fits,
        has_usual_box=True,
        own_splits=True,
    )


def _depth(frame: Frame) -> tuple[Path | None, float]:
    """A frame's depth image and its unit.

    It is the file that the frame names, as in nerfstudio's scenes, or the one that Blender writes
    beside the image, `r_0_depth.exr` or `r_0_depth_0001.exr`. The 8-bit `r_0_depth_0000.png` of
    the published scenes are only for looking at.
    """
    if frame.depth_path is not None or frame.image_path is None:
        return frame.depth_path, depth_unit(frame)
    image = frame.image_path
    beside = image.parent.glob(f"{glob.escape(image.stem)}_depth*")
    found = sorted(path for path in beside if path.suffix.lower() in (".exr", ".npy"))
    return (found[0] if found else None), depth_unit(frame, 1.0)


def _split_of(path: Path) -> str:
    return path.stem.removeprefix("transforms_")


def _with_images(path: Path, split: str, frames: list[Frame]) -> list[Frame]:
    """The frames that have an image; all frames, if none of a split other than "train" has one.

    Raises:
        SceneError: there is no image to train on.
    """
    missing = [frame.file_path for frame in frames if frame.image_path is None]
    if len(missing) == len(frames) and split != "train":
        warn_once(
            f"{path}: none of its {len(frames)} images is there: these are poses to render, and "
            f"nothing is compared with them (the first is {missing[0]!r})"
        )
        return frames
    tell_missing(path, missing, len(frames))
    return [frame for frame in frames if frame.image_path is not None]


def _is_full(frames: list[Frame]) -> bool:
    """Whether the file gives full intrinsics, not only an angle of view."""
    return any(
        frame.says_its_size() or any(name in frame.entry for name in (*FOCALS, "cx", "cy"))
        for frame in frames
    )


def _sizes(splits: dict[str, list[int]], frames: list[Frame]) -> dict[int, tuple[int, int]]:
    """The size of the first image of each frame's split; of poses alone, that of any image."""
    first = next(frame.image_path for frame in frames if frame.image_path is not None)
    sizes = {}
    for views in splits.values():
        path = next((p for i in views if (p := frames[i].image_path) is not None), first)
        sizes.update(dict.fromkeys(views, read_header(path).upright_size))
    return sizes


def _is_opaque(frames: list[Frame]) -> bool:
    path = next((frame.image_path for frame in frames if frame.image_path is not None), None)
    return path is not None and not read_header(path).has_alpha


def _size_of(frame: Frame, first: tuple[int, int], fits: bool) -> tuple[int, int]:
    """The size of a frame's image; if the file does not say, that of its split's first image."""
    if not fits or frame.image_path is None or frame.says_its_size():
        return first
    return read_header(frame.image_path).stored_size
