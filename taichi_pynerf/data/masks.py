"""Masks: files that say which pixels of an image count.

Black pixels do not count, as in nerfstudio and COLMAP. instant-ngp's `dynamic_mask_NAME.png` is the
opposite: pixels that are not black show something that moves, and do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from taichi_pynerf.data.image_files import (
    DYNAMIC_MASK,
    IMAGE_SUFFIXES,
    MASK_ENDS,
    is_readable,
    list_photos,
)
from taichi_pynerf.data.images import decode_mask
from taichi_pynerf.data.scene_files import note, shown, warn_once

MASK_FOLDERS = ("masks", "mask")


def read_mask(path: Path, *, upright: bool = True) -> np.ndarray:
    """bool [H, W]: which pixels count.

    Raises:
        SceneError: as in `images.decode_mask`.
    """
    mask = decode_mask(path, upright=upright)
    return ~mask if path.name.startswith(DYNAMIC_MASK) else mask


def inside_circle(size: tuple[int, int], radius: float) -> np.ndarray:
    """bool [H, W]: which pixels are within `radius` pixels of the image's middle."""
    rows, columns = (np.arange(side) + 0.5 - 0.5 * side for side in size)
    return np.hypot(rows[:, None], columns[None]) <= radius


def find_masks(
    data_dir: Path, image_paths: Sequence[Path | None], named: Sequence[Path | None] | None
) -> list[Path | None] | None:
    """The mask of each image: the one that the description names, else one by usual names.

    For `images/a/b.jpg` that is `b.jpg.png` (COLMAP), `b.png` or the like in `masks/a` or in
    `masks`; or, beside the image, `dynamic_mask_b.png` (instant-ngp), `b_mask.png` (Metashape),
    `b.mask.png` or `b.jpg.mask.png`.

    If there are masks, a warning names images without one and masks without an image.

    Returns:
        V paths, or None if there is no mask.
    """
    folders = [data_dir / name for name in MASK_FOLDERS if (data_dir / name).is_dir()]
    files = {path: None for folder in folders for path in list_photos(folder, deep=True)}
    beside: dict[Path, set[str]] = {}
    masks: list[Path | None] = []
    for i, image in enumerate(image_paths):
        mask = None if named is None else named[i]
        if mask is None and image is not None:
            mask = _in_folders(data_dir, image, folders, files) or _beside(image, beside)
        masks.append(mask)
    if not any(masks) and not files:
        return None
    _tell(data_dir, image_paths, masks, list(files))
    return masks if any(masks) else None


def masks_in_order(data_dir: Path, images: Sequence[Path]) -> list[Path] | None:
    """The masks of images by their order, as the first loaders of DTU pair them.

    Returns:
        V paths; None if a mask has the name of an image, or there are not as many masks as images.
    """
    folder = next((data_dir / name for name in MASK_FOLDERS if (data_dir / name).is_dir()), None)
    if folder is None:
        return None
    note(folder)
    files = [path for path in list_photos(folder) if is_readable(path)]
    names = {path.name for path in files}
    if len(files) != len(images) or any(not names.isdisjoint(_mask_names(i)) for i in images):
        return None
    return files


def _in_folders(
    data_dir: Path, image: Path, folders: Sequence[Path], files: dict[Path, None]
) -> Path | None:
    """The mask in a folder of masks, in the same subfolder as the image or at the top."""
    if not folders:
        return None
    try:
        parts = image.relative_to(data_dir).parts
    except ValueError:
        parts = image.parts[-1:]
    places = [parts[1:-1], parts[:-1], ()] if parts[:-1] else [()]
    for folder in folders:
        if folder in image.parents:
            continue
        for place in dict.fromkeys(places):
            for name in _mask_names(image):
                if (path := folder.joinpath(*place, name)) in files:
                    return path
    return None


def _mask_names(image: Path) -> list[str]:
    suffixes = [s for small in IMAGE_SUFFIXES for s in (small, small.upper())]
    names = [image.name + ".png", image.name + ".PNG"]
    names += [image.stem + suffix for suffix in suffixes]
    return names + [f"{image.stem}{end}.png" for end in MASK_ENDS]


def _beside(image: Path, listings: dict[Path, set[str]]) -> Path | None:
    if image.parent not in listings:
        listings[image.parent] = {path.name for path in image.parent.iterdir()}
    named = [f"{start}{end}.png" for start in (image.stem, image.name) for end in MASK_ENDS]
    for name in (f"{DYNAMIC_MASK}{image.stem}.png", *named):
        if name in listings[image.parent]:
            return image.parent / name
    return None


def _tell(
    data_dir: Path,
    image_paths: Sequence[Path | None],
    masks: Sequence[Path | None],
    files: list[Path],
) -> None:
    """Warn of images without a mask among others with one, and of masks without an image."""
    pairs = zip(image_paths, masks, strict=True)
    without = [image.name for image, mask in pairs if image is not None and mask is None]
    if any(masks) and without:
        warn_once(
            f"{data_dir}: {len(without)} of {len(masks)} images have no mask, and all of their "
            f"pixels count ({shown(', '.join(without))})"
        )
    idle = [path for path in files if path not in set(masks)]
    if idle:
        warn_once(
            f"{data_dir}: {len(idle)} of {len(files)} masks are of no image of this scene and not "
            f"used ({shown(', '.join(str(p.relative_to(data_dir)) for p in idle))}); a mask is "
            "called like its image, NAME.png or NAME.jpg.png"
        )
