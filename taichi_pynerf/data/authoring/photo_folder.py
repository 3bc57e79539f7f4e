"""Photos from a folder: copied upright into a scene, and grouped by lens."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from taichi_pynerf.data.embedded.exif import exif_of, kept_exif, lens_of
from taichi_pynerf.data.image_files import (
    OTHER_THAN_PHOTOS,
    counted_suffixes,
    image_names,
    is_mask_name,
    is_readable,
    list_images,
    list_photos,
)
from taichi_pynerf.data.image_kinds import LINEAR_KINDS, RAW_SUFFIXES, SUFFIXES, pillow_format
from taichi_pynerf.data.images import decode_straight, read_header
from taichi_pynerf.data.scene_files import shown, warn_once
from taichi_pynerf.errors import SceneError

COPIED = ("PNG", "JPEG")  # kinds that are copied as they are
LOSSY = ("HEIC", "AVIF", "WebP")  # kinds that become JPEG without alpha; all others become PNG


def gather_photos(
    source: Path, images_dir: Path, *, progress: bool = True
) -> tuple[list[list[str]], dict[str, str]]:
    """Copy the photos of a folder as PNG and JPEG files, and group them by camera.

    Tools disagree on whether to follow EXIF orientation, so photos that have one are stored turned.
    Other PNG and JPEG files are copied byte by byte, and other kinds are converted. What is written
    anew keeps its EXIF data and gets colours in sRGB. Spaces in names become underscores.

    Args:
        source: a folder of photos; if it has none itself, its subfolders are searched.
        images_dir: folder for the copies.
        progress: show a progress bar.

    Returns:
        Names in alphabetical order, in groups of one size and one focal length; and the path of
        each photo within the folder, by the name of its copy.

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
    originals = {
        name: path.relative_to(source).as_posix() for path, name in zip(photos, names, strict=True)
    }
    return list(groups.values()), originals


def _photos_in(source: Path) -> list[Path]:
    """The photos of a folder, or if it has none itself, of its subfolders.

    Masks, depths and reduced copies are none. Warnings count the photos that are left out.
    """
    try:
        listed = list_photos(source, deep=True)
    except OSError as error:
        raise SceneError(f"{source}: cannot be read ({error.strerror})") from None
    within = _without_companions(source, listed)
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


def _without_companions(source: Path, listed: list[Path]) -> list[Path]:
    """The files that are photos, not masks, depths or reduced copies of them."""
    folders = {folder for path in listed for folder in path.parents if source in folder.parents}
    others = {
        folder
        for folder in folders
        if folder.name.lower().startswith(OTHER_THAN_PHOTOS) or _is_reduced(folder)
    }
    photos = [path for path in listed if not is_mask_name(path) and others.isdisjoint(path.parents)]
    gone = sorted(set(listed) - set(photos))
    if gone:
        names = shown(", ".join(str(path.relative_to(source)) for path in gone))
        warn_once(
            f"{source}: {len(gone)} images are masks, depths or reduced copies of photos by their "
            f"names, and left out ({names}); give their folder itself if they are photos"
        )
    return photos


def _is_reduced(folder: Path) -> bool:
    """Whether a folder `NAME_k` holds the images of NAME beside it, at 1/k of their size.

    Folders of several cameras have such names too, so the first images are compared.
    """
    name, _, number = folder.name.rpartition("_")
    k = int(number) if number.isdecimal() and len(number) < 4 else 0
    if not name or k < 2:
        return False
    first = [list_images(place, deep=True)[:1] for place in (folder.with_name(name), folder)]
    try:
        sizes = [read_header(path).upright_size for paths in first for path in paths]
    except SceneError:  # copying it says what is wrong
        return False
    return len(sizes) == 2 and all(
        abs(large - k * small) <= k for large, small in zip(*sizes, strict=True)
    )


def _names_of_copies(source: Path, photos: list[Path]) -> list[str]:
    """Names of the copies: those of the photos, with another suffix if they are converted.

    Folders or numbers are added where names would be the same.
    """
    stems = image_names([str(path.relative_to(source)) for path in photos])
    names = []
    for path, stem in zip(photos, stems, strict=True):
        header = read_header(path)
        suffix = ".jpg" if header.kind in LOSSY and not header.has_alpha else ".png"
        suffix = path.suffix if header.kind in COPIED else suffix
        names.append("_".join(stem.split()) + suffix)  # COLMAP's lists are separated by spaces
    if len(set(names)) < len(names):
        stems = image_names([Path(name).stem for name in names])
        names = [stem + Path(name).suffix for stem, name in zip(stems, names, strict=True)]
    return names


def _copy_upright(source: Path, target: Path) -> tuple:
    """Copy one photo, turned upright. Returns the values that identify its lens."""
    header = read_header(source)
    try:
        lens, exif = _lens_and_exif(source, header.kind)
        if header.kind in COPIED and header.orientation == 1:
            shutil.copyfile(source, target)
            return header.stored_size, lens
        pixels = decode_straight(source)
        opaque = (pixels[..., 3] == 255).all()
        copy = Image.fromarray(pixels[..., :3] if opaque else pixels)
        form = "JPEG" if target.suffix == ".jpg" else "PNG"
        form = header.kind if header.kind in COPIED else form  # whatever the name says
        copy.save(target, format=form, quality=95, exif=exif)
        return copy.size, lens
    except SceneError:
        raise
    except Exception as error:  # Pillow raises almost anything at broken files
        raise SceneError(
            f"{source}: this photo cannot be copied ({error}); replace it or remove it"
        ) from None


def _lens_and_exif(source: Path, kind: str) -> tuple[tuple[str, ...], bytes]:
    """What tells the lens of a photo apart, and the EXIF data for a copy that is written anew."""
    if kind in LINEAR_KINDS:
        return lens_of(Image.Exif()), b""
    with Image.open(source, formats=(pillow_format(source, kind),)) as image:
        exif = exif_of(image)
        return lens_of(exif), kept_exif(exif)
