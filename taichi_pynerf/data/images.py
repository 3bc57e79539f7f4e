"""Image files to premultiplied 8-bit RGBA, and exact box averages of such images.

Premultiplied means that colours are already multiplied by alpha, so that averages of pixels are
right and a picture over a background is `rgb + (1 - alpha) * background`.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from taichi_pynerf.errors import SceneError

MAX_MEGAPIXELS = 100
"""Larger images are refused before they are decoded: a small broken or hostile file may claim any
size, and would fill the memory."""

MAX_DECODE_THREADS = 8

# Pillow names: 1 bit, grey, palette (each with or without alpha), colour.
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
# Pillow opens 16-bit grey PNGs as I;16 (since version 11) or as I (before).
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I")


def decode_image(path: Path) -> np.ndarray:
    """Decode a PNG or JPEG file to [H, W, 4] uint8, premultiplied and upright.

    Raises:
        SceneError: as `decode_straight`.
    """
    return _premultiply(decode_straight(path))


def decode_straight(path: Path) -> np.ndarray:
    """Decode a PNG or JPEG file to [H, W, 4] uint8, upright, colours not multiplied by alpha.

    Grey, palette, 1-bit and 16-bit PNGs and grey, colour and CMYK JPEGs are understood, and turned
    as their EXIF orientation says. Images without alpha get alpha 255. Values are rounded to the
    nearest, save in 16-bit colour PNGs, whose low bytes Pillow drops.

    Raises:
        SceneError: the file is missing, unreadable, broken, too large or of another kind.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            _check_size(path, *image.size)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgba(path, image)
    except SceneError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, above this one
        raise _too_large(path) from None
    except FileNotFoundError:
        raise SceneError(f"{path}: this image file is missing") from None
    except UnidentifiedImageError:
        raise SceneError(f"{path}: not a PNG or JPEG image, or broken at its start") from None
    except Exception as error:  # Pillow raises almost anything at broken files
        raise SceneError(
            f"{path}: this image cannot be decoded; it may be cut off or broken ({error})"
        ) from None


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file, upright. It is decoded whole, and so known to be good.

    Raises:
        SceneError: as `decode_image`.
    """
    with _no_size_warnings():
        height, width = decode_image(path).shape[:2]
    return width, height


def decode_images(
    paths: Sequence[Path], consume: Callable[[int, np.ndarray], None], description: str
) -> None:
    """Decode files in threads, under a progress bar, and hand each image on as it is ready.

    Args:
        paths: the files.
        consume: called with (index into `paths`, [H, W, 4] uint8) in the decoding thread, so that
            no more than a few whole images are in memory at a time.
        description: what the progress bar says.

    Raises:
        SceneError: as `decode_image`, for the first of `paths` that fails.
    """

    def load(index: int) -> None:
        consume(index, decode_image(paths[index]))

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
    """Refuse a reduction by `k` that would leave pixels over.

    Raises:
        SceneError: `k` does not divide both sides; the message lists the factors that do.
    """
    if width % k or height % k:
        common = math.gcd(width, height)
        factors = ", ".join(str(f) for f in range(1, min(common, 64) + 1) if common % f == 0)
        raise SceneError(
            f"{name}: {width}x{height} pixels cannot be reduced by {k} without a rest; choose "
            f"img_downscale and scales whose products are among {factors}"
        )


@contextmanager
def _no_size_warnings() -> Iterator[None]:
    """Silence Pillow's warning of large images; `_check_size` has the say here.

    Filters belong to the whole process: enter this in the main thread, around the others.
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
    """[H, W, 4] uint8 with straight alpha."""
    if image.mode in _SIXTEEN_BIT_MODES:
        values = np.asarray(image).astype(np.uint32)
        alpha = np.where(values == image.info.get("transparency", -1), 0, 255)
        grey = (values + 128) // 257  # 65535 = 255 * 257
        return np.stack([grey, grey, grey, alpha], axis=-1).astype(np.uint8)
    if image.mode == "CMYK":
        # Inks are stored inverted in files with Adobe's marker, and who knows how in the others.
        if "adobe" not in image.info:
            raise SceneError(
                f"{path}: a CMYK JPEG without Adobe's marker cannot be read safely; save it as RGB"
            )
        return np.asarray(image.convert("RGB").convert("RGBA"))
    if image.mode not in _EIGHT_BIT_MODES:
        raise SceneError(f"{path}: images of mode {image.mode} are not supported; save it as RGB")
    return np.asarray(image if image.mode == "RGBA" else image.convert("RGBA"))


def _premultiply(rgba: np.ndarray) -> np.ndarray:
    """Multiply [H, W, 4] uint8 colours by alpha, rounded to the nearest."""
    alpha = rgba[..., 3]
    if (alpha == 255).all():
        return rgba
    premultiplied = rgba.copy()
    wide_alpha = alpha.astype(np.uint16)
    for channel in range(3):
        # 255 * 255 + 127 fits 16 bits, and no product lies halfway, for 255 is odd.
        premultiplied[..., channel] = (rgba[..., channel] * wide_alpha + 127) // 255
    return premultiplied
