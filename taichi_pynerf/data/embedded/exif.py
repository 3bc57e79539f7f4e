"""EXIF data of image files. A block that is broken counts as none, as pixels do without."""

from __future__ import annotations

import math

from PIL import ExifTags, Image, ImageOps

_LENS = (ExifTags.Base.FocalLength, ExifTags.Base.FocalLengthIn35mmFilm)
_CAMERA = (
    ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software, ExifTags.Base.DateTime,
    ExifTags.Base.Artist, ExifTags.Base.Copyright,
)  # fmt: skip
# Tags that hold for one file alone: its size, and places in it.
_OF_ONE_FILE = (
    ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight, ExifTags.Base.MakerNote,
    ExifTags.IFD.Interop,
)  # fmt: skip


def exif_of(image: Image.Image) -> Image.Exif:
    """The EXIF data of an image; of a PNG, what is before its pixels, as the rest would decode it.

    Empty if there is none, or if it is broken.
    """
    try:
        if image.format != "PNG":
            return image.getexif()
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
        return exif
    except Exception:  # Pillow raises almost anything at broken blocks
        return Image.Exif()


def orientation_of(exif: Image.Exif) -> int:
    """The EXIF orientation; 1 (upright) if there is none."""
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def exposure_of(exif: Image.Exif) -> float | None:
    """Exposure as in `ImageHeader.exposure`."""
    try:
        values = exif.get_ifd(ExifTags.IFD.Exif)
        time, aperture = (
            float(values[tag]) for tag in (ExifTags.Base.ExposureTime, ExifTags.Base.FNumber)
        )
        sensitivity = values[ExifTags.Base.ISOSpeedRatings]
        if isinstance(sensitivity, tuple):
            sensitivity = sensitivity[0]
        return math.log2(time * float(sensitivity) / 100 / aperture**2)
    except Exception:  # absent, zero or any other content, as files come from others
        return None


def lens_of(exif: Image.Exif) -> tuple[str, ...]:
    """What tells lenses apart: the focal length, and its equivalent on 35 mm film, as texts."""
    try:
        values = exif.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # as above
        values = {}
    return tuple(str(values.get(tag)) for tag in _LENS)


def kept_exif(exif: Image.Exif) -> bytes:
    """The part of EXIF data that still holds for a copy with other pixels, turned upright.

    That is all of camera, lens, exposure and place; empty if there is none, or if it is broken.
    """
    kept = Image.Exif()
    try:
        kept.update({tag: exif[tag] for tag in _CAMERA if tag in exif})
        found = bool(len(kept))
        for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            given = exif.get_ifd(ifd).items()
            if values := {tag: value for tag, value in given if tag not in _OF_ONE_FILE}:
                kept.get_ifd(ifd).update(values)
                found = True
        return kept.tobytes() if found else b""
    except Exception:  # as above
        return b""


def turn_upright(image: Image.Image) -> None:
    """Turn a decoded image in place as its EXIF orientation says, if that can be read."""
    try:
        image.getexif()  # which is kept
    except Exception:  # as above
        return
    for name in ("exif", "Raw profile type exif"):  # Pillow would write them anew, and may fail
        image.info.pop(name, None)
    ImageOps.exif_transpose(image, in_place=True)
