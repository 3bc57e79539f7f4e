"""Photos from a folder: copied upright into a scene, and grouped by the lens that took them."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image, ImageOps
from tqdm import tqdm

from taichi_pynerf.data.scene_files import IMAGE_SUFFIXES
from taichi_pynerf.errors import SceneError

OTHER_PHOTO_SUFFIXES = (".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".tif", ".tiff")

EXIF_IFD, ORIENTATION = 0x8769, 0x0112
LENS_TAGS = (0x920A, 0xA405)  # focal length in mm, and as on 35 mm film: zooms and second lenses


def gather_photos(source: Path, images_dir: Path, *, progress: bool = True) -> list[list[str]]:
    """Copy the PNG and JPEG files of a folder, and say which share a camera.

    Photos that their EXIF orientation turns are stored turned, for tools do not agree on whether
    to heed it; all others are copied byte by byte. Spaces in names become underscores.

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
    photos = [path for path in paths if path.suffix in IMAGE_SUFFIXES]
    if not photos:
        others = sorted({p.suffix for p in paths if p.suffix.lower() in OTHER_PHOTO_SUFFIXES})
        hint = f"; convert the {', '.join(others)} files to JPEG" if others else ""
        raise SceneError(f"{source}: no PNG or JPEG photos in this folder{hint}")
    groups: dict[tuple, list[str]] = {}
    for path in tqdm(photos, "photos", unit="photo", disable=not progress):
        name = "_".join(path.name.split())  # COLMAP's lists are separated by spaces
        if (images_dir / name).exists():
            raise SceneError(f"{path}: another photo is called {name} as well; rename one of them")
        groups.setdefault(_copy_upright(path, images_dir / name), []).append(name)
    return list(groups.values())


def _copy_upright(source: Path, target: Path) -> tuple:
    """Copy one photo; what tells its lens from others."""
    try:
        with Image.open(source, formats=("PNG", "JPEG")) as image:
            exif = image.getexif()
            lens = tuple(str(exif.get_ifd(EXIF_IFD).get(tag)) for tag in LENS_TAGS)
            if exif.get(ORIENTATION, 1) == 1:
                size = image.size
                shutil.copyfile(source, target)
            else:
                upright = ImageOps.exif_transpose(image)  # takes the tag away as well
                size = upright.size
                upright.save(target, format=image.format, quality=95)
    except Exception as error:  # Pillow raises almost anything at broken files
        raise SceneError(
            f"{source}: this photo cannot be copied ({error}); replace it, or take it away"
        ) from None
    return size, lens
