"""The sources of a scene: folders of photos, videos, and the masks of their images."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from taichi_pynerf.data.authoring.photo_folder import gather_photos
from taichi_pynerf.data.authoring.video_frames import extract_sharp_frames
from taichi_pynerf.data.image_files import list_photos
from taichi_pynerf.data.image_kinds import SUFFIXES
from taichi_pynerf.data.images import decode_mask, image_size
from taichi_pynerf.data.scene_files import shown, warn_once
from taichi_pynerf.errors import SceneError


class Gathered(NamedTuple):
    """The images of all sources.

    Attributes:
        groups: their names, in groups that share a camera.
        names_of: the names of each source.
        originals: the path of each image within its source, by its name; of a frame, its name.
    """

    groups: list[list[str]]
    names_of: dict[Path, list[str]]
    originals: dict[str, str]


def check_sources(
    sources: Sequence[Path], out_dir: Path, held_out: str | Path | None = None
) -> None:
    """Check that sources exist, are given once, and are not in the folder to be written.

    Raises:
        SceneError: a source fails the check.
    """
    if not sources:
        raise SceneError("give a folder of photos or a video")
    for source in sources:
        if not source.exists():
            raise SceneError(f"{source}: no such folder or video")
        if source.resolve().is_relative_to(out_dir.resolve()):
            raise SceneError(f"{out_dir} holds {source}: choose a folder of its own for the scene")
    if len({source.resolve() for source in sources}) < len(sources):
        raise SceneError(f"{sources[0]}: the same folder or video is given twice")
    if held_out is not None and (Path(held_out) not in sources or len(sources) < 2):
        raise SceneError(
            f"{held_out}: what is held out must be one of several sources: "
            f"{', '.join(map(str, sources))}"
        )


def gather_sources(
    sources: Sequence[Path], images_dir: Path, num_frames: int, *, progress: bool = True
) -> Gathered:
    """Copy the photos of all sources, and the sharpest frames of their videos, into one folder.

    With several sources, images get the number of their source before their names. So all names
    differ, and those of a source stay together.

    Args:
        sources: folders and videos.
        images_dir: folder for the images.
        num_frames: number of frames to take of each video.
        progress: show progress bars.

    Returns:
        The names of the images, and where they come from.

    Raises:
        SceneError: a photo or video cannot be read, or a folder has no photos.
        MissingPackageError: PyAV, which reads videos, is not installed.
    """
    groups: list[list[str]] = []
    names_of: dict[Path, list[str]] = {}
    originals: dict[str, str] = {}
    for number, source in enumerate(sources, 1):
        folder = images_dir if len(sources) == 1 else images_dir / f"{number}"
        folder.mkdir(exist_ok=True)
        if source.is_file():
            own = [extract_sharp_frames(source, folder, num_frames, progress=progress)]
            paths = {name: name for name in own[0]}
        else:
            own, paths = gather_photos(source, folder, progress=progress)
        if folder != images_dir:
            for name in (name for group in own for name in group):
                (folder / name).rename(images_dir / f"{number}_{name}")
            folder.rmdir()
            own = [[f"{number}_{name}" for name in group] for group in own]
            paths = {f"{number}_{name}": path for name, path in paths.items()}
        groups += own
        names_of[source] = [name for group in own for name in group]
        originals |= paths
    return Gathered(groups, names_of, originals)


def gather_masks(
    masks: Path, images_dir: Path, originals: Mapping[str, str], masks_dir: Path
) -> list[str]:
    """Write the masks of images as COLMAP reads them: `NAME.jpg.png`, black and white.

    A mask has the name of its photo, as the photo was called or as its copy is, with the same,
    another or a second suffix. It may be in a folder of the photo's. A name that several photos
    have stands for none.

    Args:
        masks: the folder of masks.
        images_dir: the folder of images.
        originals: the paths of the photos within their sources, by the names of the images.
        masks_dir: folder for the masks.

    Returns:
        The names of the images that have a mask.

    Raises:
        SceneError: no image has a mask, or a mask cannot be read or has another size.
    """
    if not masks.is_dir():
        raise SceneError(f"{masks}: no such folder of masks")
    found = _named_masks(masks, list_photos(masks, deep=True), originals)
    if not found:
        first = next(iter(originals.values()), "")
        raise SceneError(f"{masks}: no mask is called as one of the images ({shown(first)}, …)")
    if len(found) < len(originals):
        warn_once(
            f"{masks}: {len(originals) - len(found)} of {len(originals)} images have no mask "
            "there; all of their pixels count"
        )
    masks_dir.mkdir()
    for name, path in found.items():
        counts = decode_mask(path)
        width, height = image_size(images_dir / name)
        if counts.shape != (height, width):
            shutil.rmtree(masks_dir)
            raise SceneError(
                f"{path}: a mask of {counts.shape[1]}x{counts.shape[0]} pixels for an image of "
                f"{width}x{height}; bring them to one size"
            )
        Image.fromarray(counts.astype(np.uint8) * 255).save(masks_dir / f"{name}.png")
    return sorted(found)


def _named_masks(
    masks: Path, paths: Sequence[Path], originals: Mapping[str, str]
) -> dict[str, Path]:
    """The masks of images by their names: {name of the image: mask}."""
    files = {path.relative_to(masks).as_posix().lower(): path for path in paths}
    found: dict[str, Path] = {}
    for texts in zip(*(_names_for_masks(*pair) for pair in originals.items()), strict=True):
        for with_suffix in (True, False):
            keys = [text if with_suffix else str(PurePosixPath(text).with_suffix(""))
                    for text in texts]  # fmt: skip
            counts = Counter(keys)
            for name, key in zip(originals, keys, strict=True):
                mask = next((files[key + s] for s in ("", *SUFFIXES) if key + s in files), None)
                if mask is not None and counts[key] == 1 and mask not in found.values():
                    found.setdefault(name, mask)
    return found


def _names_for_masks(name: str, path: str) -> list[str]:
    """The names by which a mask may call an image, in lower case, the surest first.

    Those of the photo come before those of its copy, as the copy of another may be called the same.
    """
    number, _, plain = name.partition("_")
    names = [path, path.rpartition("/")[2], name, plain if number.isdigit() and plain else name]
    return [text.lower() for text in names]
