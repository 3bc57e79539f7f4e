"""Photos from a folder: copied upright into a scene, and grouped by the lens that took them."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image, ImageOps
from tqdm import tqdm

from taichi_pynerf.data.image_kinds import RAW_SUFFIXES, SUFFIXES, kind_of, pillow_format
from taichi_pynerf.data.images import decode_straight
from taichi_pynerf.errors import SceneError

COPIED = ("PNG", "JPEG")  # kinds that are copied as they are
LOSSY = ("HEIC", "AVIF", "WebP")  # kinds that become JPEG; all others become PNG

EXIF_IFD, ORIENTATION = 0x8769, 0x0112
LENS_TAGS = (0x920A, 0xA405)  # EXIF: focal length, and its equivalent on 35 mm film, in mm


def gather_photos(source: Path, images_dir: Path, *, progress: bool = True) -> list[list[str]]:
    """Copy the photos of a folder as PNG and JPEG files, and say which share a camera.

    Photos that their EXIF orientation turns are stored turned, for tools do not agree on whether
    to heed it; other PNG and JPEG files are copied byte by byte, and other kinds are converted.
    Spaces in names become underscores.

    Args:
        source: a folder of photos; folders in it are not searched.
        images_dir: where the copies go.
        progress: show a bar.

    Returns:
        Names in alphabetical order, in groups of one size and one focal length.

    Raises:
        SceneError: a photo cannot be read, or there are none.
    """
    try:
        paths = sorted(path for path in source.iterdir() if path.is_file())
    except OSError as error:
        raise SceneError(f"{source}: cannot be read ({error.strerror})") from None
    photos = [path for path in paths if path.suffix.lower() in SUFFIXES]
    raw = sorted({path.suffix for path in paths if path.suffix.lower() in RAW_SUFFIXES})
    if not photos:
        hint = f"; develop the {', '.join(raw)} files to JPEG" if raw else ""
        raise SceneError(f"{source}: no photos in this folder ({', '.join(SUFFIXES)}){hint}")
    groups: dict[tuple, list[str]] = {}
    for path in tqdm(photos, "photos", unit="photo", disable=not progress):
        name = "_".join(_name_of_copy(path).split())  # COLMAP's lists are separated by spaces
        if (images_dir / name).exists():
            raise SceneError(f"{path}: another photo is called {name} as well; rename one of them")
        groups.setdefault(_copy_upright(path, images_dir / name), []).append(name)
    return list(groups.values())


def _name_of_copy(path: Path) -> str:
    """What the copy of a photo is called: its name, with another suffix if it is converted."""
    try:
        kind = kind_of(path)
    except OSError as error:
        raise SceneError(f"{path}: this photo cannot be read ({error.strerror})") from None
    return path.name if kind in COPIED else path.stem + (".jpg" if kind in LOSSY else ".png")


def _copy_upright(source: Path, target: Path) -> tuple:
    """Copy one photo; what tells its lens from others."""
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
                upright = ImageOps.exif_transpose(image)  # takes the tag away as well
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
            f"{source}: this photo cannot be copied ({error}); replace it, or take it away"
        ) from None
    return size, lens
