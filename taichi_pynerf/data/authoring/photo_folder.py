"""Photos from a folder: copied upright into a scene, and grouped by lens."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image, ImageOps
from tqdm import tqdm

from taichi_pynerf.data.image_files import (
    counted_suffixes,
    image_names,
    is_readable,
    list_photos,
)
from taichi_pynerf.data.image_kinds import RAW_SUFFIXES, SUFFIXES, kind_of, pillow_format
from taichi_pynerf.data.images import decode_straight
from taichi_pynerf.data.scene_files import warn_once
from taichi_pynerf.errors import SceneError

COPIED = ("PNG", "JPEG")  # kinds that are copied as they are
LOSSY = ("HEIC", "AVIF", "WebP")  # kinds that become JPEG; all others become PNG

EXIF_IFD, ORIENTATION = 0x8769, 0x0112
LENS_TAGS = (0x920A, 0xA405)  # EXIF: focal length, and its equivalent on 35 mm film, in mm


def gather_photos(source: Path, images_dir: Path, *, progress: bool = True) -> list[list[str]]:
    """Copy the photos of a folder as PNG and JPEG files, and group them by camera.

    Tools disagree on whether to follow EXIF orientation, so photos that have one are stored turned.
    Other PNG and JPEG files are copied byte by byte, and other kinds are converted. Spaces in names
    become underscores.

    Args:
        source: a folder of photos; if it has none itself, its subfolders are searched.
        images_dir: folder for the copies.
        progress: show a progress bar.

    Returns:
        Names in alphabetical order, in groups of one size and one focal length.

    Raises:
        SceneError: a photo cannot be read, or there are none.
    """
    photos = _photos_in(source)
    names = _names_of_copies(source, photos)
    groups: dict[tuple, list[str]] = {}
    for path, name in zip(
        tqdm(photos, "photos", unit="photo", disable=not progress), names, strict=True
    ):
        groups.setdefault(_copy_upright(path, images_dir / name), []).append(name)
    return list(groups.values())


def _photos_in(source: Path) -> list[Path]:
    """The photos of a folder, or if it has none itself, of its subfolders.

    A warning counts the photos that are left out.
    """
    try:
        within = list_photos(source, deep=True)
    except OSError as error:
        raise SceneError(f"{source}: cannot be read ({error.strerror})") from None
    top = [path for path in within if path.parent == source]
    deep = not any(map(is_readable, top))
    searched = within if deep else top
    photos = [path for path in searched if is_readable(path)]
    others = [path for path in searched if not is_readable(path)]
    if not photos:
        raw = sorted({path.suffix for path in others if path.suffix.lower() in RAW_SUFFIXES})
        hint = f"; develop the {', '.join(raw)} files to JPEG" if raw else ""
        raise SceneError(f"{source}: no photos in this folder ({', '.join(SUFFIXES)}){hint}")
    if others:
        warn_once(
            f"{source}: {len(others)} of {len(searched)} photos are of kinds that are not read, "
            f"and left out: {counted_suffixes(others)}"
        )
    if len(within) > len(searched):
        warn_once(
            f"{source}: {len(within) - len(searched)} more photos are in folders of it, and left "
            "out: give these folders too"
        )
    return photos


def _names_of_copies(source: Path, photos: list[Path]) -> list[str]:
    """Names of the copies: those of the photos, with another suffix if they are converted.

    Folders or numbers are added where names would be the same.
    """
    stems = image_names([str(path.relative_to(source)) for path in photos])
    names = []
    for path, stem in zip(photos, stems, strict=True):
        try:
            kind = kind_of(path)
        except OSError as error:
            raise SceneError(f"{path}: this photo cannot be read ({error.strerror})") from None
        suffix = path.suffix if kind in COPIED else ".jpg" if kind in LOSSY else ".png"
        names.append("_".join(stem.split()) + suffix)  # COLMAP's lists are separated by spaces
    if len(set(names)) < len(names):
        stems = image_names([Path(name).stem for name in names])
        names = [stem + Path(name).suffix for stem, name in zip(stems, names, strict=True)]
    return names


def _copy_upright(source: Path, target: Path) -> tuple:
    """Copy one photo, turned upright. Returns the values that identify its lens."""
    kind = kind_of(source)
    if kind not in (*COPIED, *LOSSY):
        pixels = decode_straight(source)
        Image.fromarray(pixels[..., :3] if (pixels[..., 3] == 255).all() else pixels).save(target)
        return pixels.shape[1::-1], ("None",) * len(LENS_TAGS)
    try:
        with Image.open(source, formats=(pillow_format(source, kind),)) as image:
            exif = image.getexif()
            lens = tuple(str(exif.get_ifd(EXIF_IFD).get(tag)) for tag in LENS_TAGS)
            if exif.get(ORIENTATION, 1) == 1 and kind in COPIED:
                size = image.size
                shutil.copyfile(source, target)
            else:
                upright = ImageOps.exif_transpose(image)  # also removes the tag
                size = upright.size
                if kind in LOSSY:
                    upright.convert("RGB").save(
                        target, format="JPEG", quality=95, exif=upright.getexif()
                    )
                else:
                    upright.save(target, format=image.format, quality=95)
    except SceneError:
        raise
    except Exception as error:  # Pillow raises almost anything at broken files
        raise SceneError(
            f"{source}: this photo cannot be copied ({error}); replace it or remove it"
        ) from None
    return size, lens
