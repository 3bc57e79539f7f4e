"""Premultiplied 8-bit pixels from image files, and exact box averages of such images.

Premultiplied colours are already multiplied by alpha. So averages of pixels are right, and a
picture over a background is `rgb + (1 - alpha) * background`.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from taichi_pynerf.data.embedded.exif import exif_of, exposure_of, orientation_of, turn_upright
from taichi_pynerf.data.embedded.profiles import in_srgb
from taichi_pynerf.data.image_kinds import LINEAR_KINDS, kind_of, pillow_format
from taichi_pynerf.data.linear_images import decode_linear, read_linear_header
from taichi_pynerf.errors import SceneError

MAX_MEGAPIXELS = 100
"""Larger images are refused before decoding, as a broken or hostile file may claim any size."""

MAX_DECODE_THREADS = 8
HEADERS_KEPT = 2**14  # files whose headers are remembered, as every split of a scene needs them

LOSSY_KINDS, LOSSY_BLACK = ("JPEG", "HEIC", "AVIF"), 127
"""Kinds in which black becomes nearly black, and the greatest value that is then black in masks."""

_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # 1 bit, grey, palette, colour
# Pillow opens 16-bit grey images as I;16 and the like (since version 11) or as I (before).
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


class ImageHeader(NamedTuple):
    """The header of an image file, read without decoding the image.

    Attributes:
        width, height: pixels as stored.
        orientation: EXIF orientation, 1 to 8: how to turn the stored pixels upright.
        has_alpha: whether pixels can be transparent.
        kind: the kind of image, a name in `image_kinds.KINDS`.
        exposure: exposure by EXIF, in stops relative to 1 s at f/1 and ISO 100; None if unknown.
    """

    width: int
    height: int
    orientation: int
    has_alpha: bool
    kind: str
    exposure: float | None = None

    @property
    def stored_size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height after turning; orientations from 5 on exchange them."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_header(path: Path) -> ImageHeader:
    """Read the start of an image file, once for as long as the file does not change.

    Raises:
        SceneError: as in `decode_straight`. Only the header is checked.
    """
    try:
        stat = path.stat()
    except OSError:  # reading it says what is wrong
        return _read_header(path)
    return _read_header(path, (stat.st_ino, stat.st_mtime_ns, stat.st_size))


@lru_cache(HEADERS_KEPT)
def _read_header(path: Path, _stamp: tuple[int, ...] = ()) -> ImageHeader:
    kind = _kind(path)
    if kind in LINEAR_KINDS:
        header = read_linear_header(path)
        _check_size(path, header.width, header.height)
        return ImageHeader(header.width, header.height, 1, header.has_alpha, kind)
    with _no_size_warnings(), _opened(path, kind) as image:
        exif = exif_of(image)
        orientation = 1 if kind == "TIFF" else orientation_of(exif)  # Pillow turns it itself
        return ImageHeader(*image.size, orientation, _has_alpha(image), kind, exposure_of(exif))


def decode_image(
    path: Path, *, upright: bool = True, channels: int = 4, exposure: float = 0.0
) -> np.ndarray:
    """Decode an image file to [H, W, C] uint8, premultiplied.

    Args:
        path: the file.
        upright: turn the image as its EXIF orientation says; else pixels stay as stored.
        channels: C, 4 or 3; 3 leaves out alpha, and is for images without it.
        exposure: exposure in stops, for images whose values are proportional to light
            (`linear_images`).

    Raises:
        SceneError: as in `decode_straight`.
    """
    straight = decode_straight(path, upright=upright, channels=channels, exposure=exposure)
    return straight if channels == 3 else _premultiply(straight)


def decode_straight(
    path: Path, *, upright: bool = True, channels: int = 4, exposure: float = 0.0
) -> np.ndarray:
    """Decode an image file to [H, W, C] uint8, colours not multiplied by alpha.

    All kinds in `image_kinds` are read, among them grey, palette, 1-bit and 16-bit images and CMYK
    JPEGs. Images without alpha get alpha 255. Colours with a profile of their own are brought to
    sRGB. Values are rounded to the nearest, except in 16-bit colour, where Pillow drops the low
    bytes.

    Args:
        path, upright, channels, exposure: as in `decode_image`.

    Raises:
        SceneError: the file is missing, unreadable, broken, too large or of another kind.
    """
    kind = _kind(path)
    if kind in LINEAR_KINDS:
        header = read_linear_header(path)
        _check_size(path, header.width, header.height)
        return decode_linear(path, exposure)[..., :channels]
    with _opened(path, kind) as image:
        image.load()
        if upright:
            turn_upright(image)
        picture = in_srgb(image)
        if channels == 3 and picture.mode == "RGB":
            return np.asarray(picture)
        return _to_rgba(path, picture)[..., :channels]


def decode_mask(path: Path, *, upright: bool = True) -> np.ndarray:
    """Decode a mask to [H, W] bool: whether a pixel is not black, as in nerfstudio.

    In lossy kinds, black is whatever is nearer to black than to white. If the colour is the same
    everywhere, alpha alone decides; otherwise pixels that count must also be opaque.

    Raises:
        SceneError: as in `decode_image`.
    """
    kind = _kind(path)
    with _no_size_warnings():
        if kind in LINEAR_KINDS:
            return np.any(decode_straight(path, upright=upright, channels=3), axis=-1)
        with _opened(path, kind) as image:
            image.load()
            if upright:
                turn_upright(image)
            if image.mode in _SIXTEEN_BIT_MODES:  # where the greatest value may be 1
                return np.asarray(image) != 0
            rgba = _to_rgba(path, image)
    rgb, opaque = rgba[..., :3], rgba[..., 3] > 0
    if not opaque.all() and (rgb == rgb[:1, :1]).all():
        return opaque
    darkest = LOSSY_BLACK if kind in LOSSY_KINDS else 0
    return np.any(rgb > darkest, axis=-1) & opaque


def decode_whole(path: Path) -> np.ndarray:
    """The integers [H, W] of a 16-bit grey image, as stored.

    Raises:
        SceneError: as in `decode_straight`, or the image is of another kind.
    """
    with _no_size_warnings(), _opened(path, _kind(path)) as image:
        if image.mode not in _SIXTEEN_BIT_MODES:
            raise SceneError(
                f"{path}: depths must be grey of 16 bits, not of mode {image.mode}; "
                "write 16 bits, a NumPy array or OpenEXR"
            )
        return np.asarray(image)


def _kind(path: Path) -> str:
    try:
        return kind_of(path)
    except FileNotFoundError:
        raise SceneError(f"{path}: this image file is missing") from None
    except OSError as error:
        raise SceneError(f"{path}: this image cannot be decoded ({error.strerror})") from None


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[Image.Image]:
    """An image file, opened but not decoded; any error with it becomes a SceneError."""
    try:
        with Image.open(path, formats=(pillow_format(path, kind),)) as image:
            _check_size(path, *image.size)
            yield image
    except SceneError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, above this one
        raise _too_large(path) from None
    except Image.UnidentifiedImageError:
        raise SceneError(f"{path}: a {kind} image that is broken at its start") from None
    except Exception as error:  # Pillow raises almost anything at broken files
        reason = " ".join(str(error).split())[:160]
        raise SceneError(
            f"{path}: this image cannot be decoded; it may be cut off or broken ({reason})"
        ) from None


def _has_alpha(image: Image.Image) -> bool:
    return "A" in image.getbands() or "transparency" in image.info


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file, upright. Decodes the whole file to check it.

    Raises:
        SceneError: as in `decode_image`.
    """
    with _no_size_warnings():
        height, width = decode_image(path).shape[:2]
    return width, height


def decode_images(
    paths: Sequence[Path],
    consume: Callable[[int, np.ndarray], None],
    description: str,
    *,
    upright: Sequence[bool] | None = None,
    channels: int = 4,
    exposure: float = 0.0,
) -> None:
    """Decode files in threads, with a progress bar, and pass on each image when it is ready.

    Args:
        paths: the files.
        consume: called with (index into `paths`, [H, W, C] uint8) in the decoding thread, so that
            only a few whole images are in memory at a time.
        description: text of the progress bar.
        upright, channels, exposure: as in `decode_image`, with `upright` for each file; by default
            all are turned.

    Raises:
        SceneError: as in `decode_image`, for the first of `paths` that fails.
    """

    def load(index: int) -> None:
        turned = True if upright is None else upright[index]
        image = decode_image(paths[index], upright=turned, channels=channels, exposure=exposure)
        consume(index, image)

    num_threads = min(MAX_DECODE_THREADS, os.cpu_count() or 1)
    with _no_size_warnings(), ThreadPoolExecutor(num_threads) as pool:
        done = pool.map(load, range(len(paths)))
        for _ in tqdm(done, description, len(paths), unit="image", leave=False, disable=None):
            pass


def box_downscale(image: np.ndarray, k: int) -> np.ndarray:
    """The exact means of k x k pixels, rounded to the nearest (halves up).

    Args:
        image: [H, W, C] uint8, premultiplied if it has alpha.
        k: the factor, 1 or more.

    Returns:
        [H / k, W / k, C] uint8.

    Raises:
        SceneError: `k` does not divide the size.
    """
    if k == 1:
        return image
    check_divisible("the image", image.shape[1], image.shape[0], k)
    rows = image[::k].astype(np.uint32)
    for i in range(1, k):
        rows += image[i::k]
    boxes = rows[:, ::k].astype(np.uint64)
    for i in range(1, k):
        boxes += rows[:, i::k]
    return ((boxes + k * k // 2) // (k * k)).astype(np.uint8)


def check_divisible(name: object, width: int, height: int, k: int) -> None:
    """Refuse a reduction by `k` that would leave a remainder of pixels.

    Raises:
        SceneError: `k` does not divide both sides; the message lists the factors that do.
    """
    if width % k or height % k:
        common = math.gcd(width, height)
        factors = ", ".join(str(f) for f in range(1, min(common, 64) + 1) if common % f == 0)
        raise SceneError(
            f"{name}: {width}x{height} pixels cannot be reduced by {k} without a remainder; choose "
            f"img_downscale and scales whose products are among {factors}"
        )


@contextmanager
def _no_size_warnings() -> Iterator[None]:
    """Silence Pillow's warning of large images; `_check_size` decides here.

    Filters apply to the whole process: enter this in the main thread, around the other threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _check_size(path: Path, width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise SceneError(f"{path}: this image has no pixels ({width}x{height})")
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        raise _too_large(path)


def _too_large(path: Path) -> SceneError:
    return SceneError(
        f"{path}: this image is over the limit of {MAX_MEGAPIXELS} megapixels; make it smaller"
    )


def _to_rgba(path: Path, image: Image.Image) -> np.ndarray:
    """Straight RGBA uint8 [H, W, 4]."""
    if image.mode in _SIXTEEN_BIT_MODES:
        return _sixteen_bits(path, image)
    if image.mode == "CMYK":
        # JPEGs with Adobe's marker store inverted inks. Other CMYK files vary.
        if "adobe" not in image.info:
            raise SceneError(
                f"{path}: a CMYK image without Adobe's marker cannot be read safely; save it as RGB"
            )
        return np.asarray(image.convert("RGB").convert("RGBA"))
    if image.mode not in _EIGHT_BIT_MODES:
        raise SceneError(f"{path}: pixels of mode {image.mode} are not supported; save it as RGB")
    return np.asarray(image if image.mode == "RGBA" else image.convert("RGBA"))


def _sixteen_bits(path: Path, image: Image.Image) -> np.ndarray:
    """Straight RGBA uint8 [H, W, 4] of a 16-bit grey image."""
    values = np.asarray(image)
    if values.dtype.itemsize > 2 and not 0 <= values.min() <= values.max() <= 65535:
        raise SceneError(f"{path}: 32 bits a pixel are not supported; save it with 8 or 16")
    values = values.astype(np.uint16)  # in this machine's order of bytes
    rgba = np.full((*values.shape, 4), 255, dtype=np.uint8)
    # Rounded to the nearest, as 65535 = 255 * 257. A table is fast for large images.
    rgba[..., :3] = ((np.arange(2**16, dtype=np.uint32) + 128) // 257).astype(np.uint8)[values][
        ..., None
    ]
    if "transparency" in image.info:
        rgba[values == image.info["transparency"], 3] = 0
    return rgba


def _premultiply(rgba: np.ndarray) -> np.ndarray:
    """Multiply [H, W, 4] uint8 colours by alpha, rounded to the nearest."""
    alpha = rgba[..., 3]
    if (alpha == 255).all():
        return rgba
    premultiplied = rgba.copy()
    wide_alpha = alpha.astype(np.uint16)
    for channel in range(3):
        # 255 * 255 + 127 fits 16 bits, and no product lies halfway, as 255 is odd.
        premultiplied[..., channel] = (rgba[..., channel] * wide_alpha + 127) // 255
    return premultiplied
