"""The sources of a scene: folders of photos, videos, and the masks of their images."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from taichi_pynerf.data.authoring.photo_folder import gather_photos
from taichi_pynerf.data.authoring.video_frames import extract_sharp_frames
from taichi_pynerf.data.image_kinds import SUFFIXES
from taichi_pynerf.data.images import decode_mask, image_size
from taichi_pynerf.data.scene_files import shown, warn_once
from taichi_pynerf.errors import SceneError


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
) -> tuple[list[list[str]], dict[Path, list[str]]]:
    """Copy the photos of all sources, and the sharpest frames of their videos, into one folder.

    With several sources, images get the number of their source before their names. So all names
    differ, and those of a source stay together.

    Args:
        sources: folders and videos.
        images_dir: folder for the images.
        num_frames: number of frames to take of each video.
        progress: show progress bars.

    Returns:
        Names in groups that share a camera, and the names of each source.

    Raises:
        SceneError: a photo or video cannot be read, or a folder has no photos.
        MissingPackageError: PyAV, which reads videos, is not installed.
    """
    groups: list[list[str]] = []
    names_of: dict[Path, list[str]] = {}
    for number, source in enumerate(sources, 1):
        folder = images_dir if len(sources) == 1 else images_dir / f"{number}"
        folder.mkdir(exist_ok=True)
        if source.is_file():
            own = [extract_sharp_frames(source, folder, num_frames, progress=progress)]
        else:
            own = gather_photos(source, folder, progress=progress)
        if folder != images_dir:
            for name in (name for group in own for name in group):
                (folder / name).rename(images_dir / f"{number}_{name}")
            folder.rmdir()
            own = [[f"{number}_{name}" for name in group] for group in own]
        groups += own
        names_of[source] = [name for group in own for name in group]
    return groups, names_of


def gather_masks(masks: Path, images_dir: Path, names: Sequence[str], masks_dir: Path) -> list[str]:
    """Write the masks of images as COLMAP reads them: `NAME.jpg.png`, black and white.

    A mask has the name of its image, with the same, another or a second suffix. The number of the
    source before an image's name may be missing.

    Args:
        masks: the folder of masks.
        images_dir: the folder of images.
        names: names of the images.
        masks_dir: folder for the masks.

    Returns:
        The names of the images that have a mask.

    Raises:
        SceneError: no image has a mask, or a mask cannot be read or has another size.
    """
    if not masks.is_dir():
        raise SceneError(f"{masks}: no such folder of masks")
    files = {path.name.lower(): path for path in sorted(masks.iterdir()) if path.is_file()}
    found = {}
    for name in names:
        wanted = [name, name.partition("_")[2]] if name.partition("_")[0].isdigit() else [name]
        stems = [text for n in wanted if n for text in (n.lower(), Path(n).stem.lower())]
        candidates = (stem + suffix for stem in stems for suffix in ("", *SUFFIXES))
        mask = next((files[c] for c in candidates if c in files), None)
        if mask is not None:
            found[name] = mask
    if not found:
        raise SceneError(f"{masks}: no mask is called as one of the images ({shown(names[0])}, …)")
    if len(found) < len(names):
        warn_once(
            f"{masks}: {len(names) - len(found)} of {len(names)} images have no mask there; all "
            "of their pixels count"
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
