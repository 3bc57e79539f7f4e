"""The kind of image that a file holds, by its first bytes, as names are often wrong."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from PIL import features

from taichi_pynerf.errors import MissingPackageError, SceneError
from taichi_pynerf.extras import optional


class Kind(NamedTuple):
    """A kind of image that can be read.

    Attributes:
        suffixes: suffixes of its files, in lower case.
        pillow: Pillow's name for it; None if Pillow does not read it.
    """

    suffixes: tuple[str, ...]
    pillow: str | None


KINDS = {
    "PNG": Kind((".png",), "PNG"),
    "JPEG": Kind((".jpg", ".jpeg"), "JPEG"),
    "WebP": Kind((".webp",), "WEBP"),
    "TIFF": Kind((".tif", ".tiff"), "TIFF"),
    "BMP": Kind((".bmp",), "BMP"),
    "HEIC": Kind((".heic", ".heif"), "HEIF"),
    "AVIF": Kind((".avif",), "AVIF"),
    "OpenEXR": Kind((".exr",), None),
    "Radiance HDR": Kind((".hdr",), None),
}
LINEAR_KINDS = ("OpenEXR", "Radiance HDR")
"""Kinds whose values are proportional to light, without an upper bound."""

SUFFIXES = tuple(suffix for kind in KINDS.values() for suffix in kind.suffixes)

RAW_SUFFIXES = (
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw",
)  # fmt: skip
"""Raw photographs. Some are TIFF files, of which Pillow would read only the small preview."""

_HEAD = 64

# Other kinds of files, by their first bytes, with their names in messages.
_OTHERS = (
    (b"GIF8", "a GIF image"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"%PDF", "a PDF file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "an SVG drawing"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (git lfs pull gets it)"),
)


def kind_of(path: Path) -> str:
    """The kind of image that a file holds, a name in `KINDS`.

    Raises:
        OSError: the file cannot be read.
        SceneError: it is not an image that can be read; the message says what it is.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if path.suffix.lower() in RAW_SUFFIXES:
        raise SceneError(f"{path}: a raw photograph; develop it to JPEG or TIFF")
    kind = _kind_of_bytes(head)
    if kind is None:
        what = _other(head) or "not an image of a known kind, or broken at its start"
        raise SceneError(f"{path}: {what}; images are {', '.join(KINDS)}")
    return kind


def has_wrong_suffix(path: Path, kind: str) -> bool:
    """Whether a file has the suffix of another kind of image."""
    suffix = path.suffix.lower()
    return suffix in SUFFIXES and suffix not in KINDS[kind].suffixes


def pillow_format(path: Path, kind: str) -> str:
    """Pillow's name for a kind of image.

    Raises:
        SceneError: Pillow cannot read this kind here; the message says what to install.
    """
    what = f"{path}: a {kind} image"
    if has_wrong_suffix(path, kind):
        what += f" in spite of its name ({path.suffix})"
    if kind == "HEIC":
        try:
            optional("pillow_heif", "heif").register_heif_opener()
        except MissingPackageError as error:
            raise SceneError(f"{what}: {error}") from None
    if kind == "AVIF" and not features.check("avif"):
        raise SceneError(f"{what}: pip install 'pillow>=11.3', which reads it")
    name = KINDS[kind].pillow
    assert name is not None, f"{kind} images are not for Pillow"
    return name


def _kind_of_bytes(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        brands = head[8:]
        if any(brand in brands for brand in (b"avif", b"avis")):
            return "AVIF"
        names = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
        return "HEIC" if any(name in brands for name in names) else None
    begins = {
        "PNG": (b"\x89PNG\r\n\x1a\n",),
        "JPEG": (b"\xff\xd8\xff",),
        "TIFF": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
        "BMP": (b"BM",),
        "OpenEXR": (b"\x76\x2f\x31\x01",),
        "Radiance HDR": (b"#?RADIANCE", b"#?RGBE"),
    }
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    return next((kind for kind, starts in begins.items() if head.startswith(starts)), None)


def _other(head: bytes) -> str | None:
    if not head:
        return "this file is empty, broken at its start"
    if head[4:8] == b"ftyp":
        return "a video"
    return next((what for start, what in _OTHERS if head.lstrip().startswith(start)), None)
