"""Images whose values are proportional to light, OpenEXR and Radiance HDR, to 8 bits and back.

A value v becomes `srgb(v * 2**exposure)`, where srgb is the transfer curve of IEC 61966-2-1. Values
above 1 become white. Alpha is not light and stays as it is; colours come multiplied by it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from taichi_pynerf.errors import MissingPackageError, SceneError
from taichi_pynerf.extras import optional

_ROWS_AT_ONCE = 256
_ONE_AT_A_TIME = threading.Lock()  # 100 megapixels at 16 bits a channel take 0.8 GB
MAX_CHANNELS = 1024


class LinearHeader(NamedTuple):
    """The header of such a file.

    Attributes:
        width, height: size of the whole picture, of which the file may hold a part.
        channels: indices of red, green and blue (equal for a grey picture), and of alpha or None.
        part: index of the picture, if the file has several.
        window: (x, y, width, height) of the part that the file holds.
    """

    width: int
    height: int
    channels: tuple[int, int, int, int | None]
    part: int
    window: tuple[int, int, int, int]

    @property
    def has_alpha(self) -> bool:
        return self.channels[3] is not None


def light_of(values: np.ndarray) -> np.ndarray:
    """The inverse of `srgb`: light in [0, 1] of display values in [0, 1]."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb(values: np.ndarray) -> np.ndarray:
    """sRGB's transfer curve, from light in [0, 1] to display values in [0, 1]."""
    values = np.clip(values, 0.0, 1.0)
    power = 1.055 * np.maximum(values, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(values <= 0.0031308, 12.92 * values, power)


def read_linear_header(path: Path) -> LinearHeader:
    """Read the start of an OpenEXR or Radiance HDR file.

    Raises:
        SceneError: it is broken, or holds no colours, or OpenImageIO is not installed.
    """
    with _opened(path) as file:
        return _header(path, file)


def decode_linear(path: Path, exposure: float = 0.0) -> np.ndarray:
    """Decode to [H, W, 4] uint8 through the tone curve, colours not multiplied by alpha.

    Args:
        path: the file.
        exposure: exposure in stops: light is multiplied by 2 ** exposure.

    Raises:
        SceneError: as in `read_linear_header`.
    """
    with _opened(path) as file:
        header = _header(path, file)
        rgba = np.zeros((header.height, header.width, 4), dtype=np.uint8)
        if not header.has_alpha:
            rgba[..., 3] = 255
        table = _tone_table(float(exposure))
        x, y, width, height = header.window
        window = rgba[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        top, left = max(-y, 0), max(-x, 0)
        with _ONE_AT_A_TIME:
            planes = _planes(path, file, header)
            for row in range(0, window.shape[0], _ROWS_AT_ONCE):
                part = window[row : row + _ROWS_AT_ONCE]
                rows = slice(top + row, top + row + part.shape[0])
                columns = slice(left, left + part.shape[1])
                _tone(part, [plane[rows, columns] for plane in planes], table)
    return rgba


def read_exr_depth(path: Path) -> np.ndarray:
    """The depth channel float32 [H, W] of an OpenEXR file: Z, Blender's V, Y or R.

    Raises:
        SceneError: the file is missing, broken or without such a channel, or OpenImageIO is not
            installed.
    """
    if not path.is_file():
        raise SceneError(f"{path}: this depth image is missing")
    with _opened(path) as file:
        spec = file.spec()
        if spec.deep or not 1 <= spec.nchannels <= MAX_CHANNELS:
            raise SceneError(f"{path}: no plain picture; render it flat")
        ends = [str(name).rpartition(".")[2] for name in spec.channelnames]
        channel = next((ends.index(name) for name in "ZVYR" if name in ends), None)
        if channel is None:
            raise SceneError(f"{path}: no channel Z, V, Y or R is in this file")
        block = file.read_image(0, 0, channel, channel + 1, "float")
        if block is None:
            raise _broken(path, file.geterror())
        return np.asarray(block, dtype=np.float32).reshape(spec.height, spec.width)


def write_exr(path: Path, channels: dict[str, np.ndarray], attributes: dict[str, str]) -> None:
    """Write float32 [H, W] channels as an OpenEXR file, to a temporary name first.

    Args:
        path: the file.
        channels: {name: values}, in the file's order; by convention "Z" is depth.
        attributes: texts for the header.

    Raises:
        MissingPackageError: OpenImageIO is not installed.
        OSError: the file cannot be written.
    """
    oiio = optional("OpenImageIO", "hdr")
    values = np.stack([plane.astype(np.float32) for plane in channels.values()], axis=-1)
    height, width = values.shape[:2]
    spec = oiio.ImageSpec(width, height, len(channels), oiio.FLOAT)
    spec.channelnames = tuple(channels)
    spec.attribute("compression", "zip")
    for name, text in attributes.items():
        spec.attribute(name, text)
    partial = path.with_name(f".{path.stem}.partial.exr")
    file = oiio.ImageOutput.create(str(partial))
    try:
        done = file is not None and file.open(str(partial), spec) and file.write_image(values)
        done = done and file.close()
        if not done:
            reason = _error_of(oiio if file is None else file)
            raise OSError(5, " ".join(str(reason).split()) or "cannot be written", str(path))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        oiio = optional("OpenImageIO", "hdr")
    except MissingPackageError as error:
        raise SceneError(f"{path}: {error}") from None
    file = oiio.ImageInput.open(str(path))  # goes by content if the name is misleading
    if file is None:
        raise _broken(path, _error_of(oiio))
    try:
        yield file
    except SceneError:
        raise
    except Exception as error:  # for example, names in a broken file may not be text
        raise _broken(path, str(error)) from None
    finally:
        file.close()


def _error_of(source: Any) -> str:
    """OpenImageIO's message on its last error, which may quote names from a broken file."""
    try:
        return str(source.geterror())
    except UnicodeDecodeError:
        return "it has names that are not text"


def _header(path: Path, file: Any) -> LinearHeader:
    part = 0
    while file.seek_subimage(part, 0):
        spec = file.spec()
        if spec.deep:
            raise SceneError(f"{path}: a deep image; render it flat")
        if not 1 <= spec.nchannels <= MAX_CHANNELS or spec.width < 1 or spec.height < 1:
            raise _broken(path, "an impossible size")
        channels = _color_channels([str(name) for name in spec.channelnames])
        if channels is not None:
            width, height = spec.full_width or spec.width, spec.full_height or spec.height
            window = (spec.x - spec.full_x, spec.y - spec.full_y, spec.width, spec.height)
            return LinearHeader(width, height, channels, part, window)
        part += 1
    if part == 0:
        raise _broken(path, _error_of(file))
    raise SceneError(f"{path}: no channels R, G, B or Y are in this file")


def _color_channels(names: list[str]) -> tuple[int, int, int, int | None] | None:
    """The channels of the picture; None if there are none.

    They are R, G, B, A without a layer, in a layer "Combined", in any layer, or one grey channel.
    """

    def in_layer(layer: str, letters: str) -> tuple[int, ...] | None:
        wanted = [layer + letter for letter in letters]
        return tuple(map(names.index, wanted)) if set(wanted) <= set(names) else None

    layers = sorted({name.rpartition(".")[0] for name in names}, key=lambda n: "Combined" not in n)
    for prefix in ("", *(f"{layer}." for layer in layers if layer)):
        alpha = in_layer(prefix, "A")
        colors = in_layer(prefix, "RGB") or 3 * (in_layer(prefix, "Y") or ())
        if colors:
            red, green, blue = colors
            return red, green, blue, alpha[0] if alpha else None
    return None


def _planes(path: Path, file: Any, header: LinearHeader) -> list[np.ndarray]:
    """Planes float16 [H, W] of red, green, blue and, if there is one, alpha."""
    wanted = [c for c in header.channels if c is not None]
    first, last = min(wanted), max(wanted)
    if last - first < 8:
        block = _read(path, file, header, first, last + 1)
        return [block[..., c - first] for c in wanted]
    return [_read(path, file, header, c, c + 1)[..., 0] for c in wanted]


def _read(path: Path, file: Any, header: LinearHeader, begin: int, end: int) -> np.ndarray:
    block = file.read_image(header.part, 0, begin, end, "half")
    if block is None:
        raise _broken(path, _error_of(file))
    return np.asarray(block).reshape(*header.window[:1:-1], end - begin)


def _tone(out: np.ndarray, planes: list[np.ndarray], table: np.ndarray) -> None:
    """Fill `out`, uint8 [R, W, 4], from rows of float16 planes."""
    if len(planes) == 4:
        alpha = np.clip(np.nan_to_num(planes[3].astype(np.float32)), 0.0, 1.0)
        out[..., 3] = np.round(alpha * 255)
        if (alpha < 1).any():
            share = np.where(alpha > 0, alpha, 1.0)
            with np.errstate(over="ignore", invalid="ignore"):
                planes = [(plane / share).astype(np.float16) for plane in planes[:3]]
    for channel in range(3):
        out[..., channel] = table[np.ascontiguousarray(planes[channel]).view(np.uint16)]


@lru_cache(maxsize=4)
def _tone_table(exposure: float) -> np.ndarray:
    """uint8 [65536]: the display value of each float16 number."""
    light = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float64)
    with np.errstate(invalid="ignore"):
        light = np.nan_to_num(light, nan=0.0, posinf=np.inf, neginf=0.0).clip(0.0, 1e6)
        return np.round(255 * srgb(light * 2.0**exposure)).astype(np.uint8)


def _broken(path: Path, reason: str) -> SceneError:
    reason = " ".join(str(reason or "").split())[:160]
    return SceneError(
        f"{path}: this image cannot be decoded; it may be cut off or broken ({reason})"
    )
