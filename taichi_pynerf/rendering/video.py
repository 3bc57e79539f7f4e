"""Films from images: H.264 in MP4 if PyAV is installed, else animated WebP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.extras import optional
from taichi_pynerf.files import atomic_write

QUALITY = 18  # H.264's constant rate factor: 18 is nearly lossless, 28 gives small files
FPS_RANGE = (1e-3, 1000.0)  # frames per second that films can have
_WEBP_QUALITY = 80
_BT709, _LIMITED = 1, 1  # FFmpeg's numbers for colours of HD television, and their usual range


def check_fps(name: str, fps: float) -> None:
    """Refuse frames per second that no film has; `name` is what the user calls them.

    Raises:
        ConfigError: they are outside of `FPS_RANGE`.
    """
    if not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
        raise ConfigError(f"{name} is {fps}: give {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g}")


def video_suffix() -> str:
    """ ".mp4", or ".webp" if PyAV is not installed."""
    return ".mp4" if find_spec("av") is not None else ".webp"


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], fps: float, quality: int = QUALITY
) -> None:
    """Write a film completely or not at all.

    Args:
        path: a file with the suffix .mp4, .webp or .gif. H.264 with 4:2:0 colour needs even sides,
            so the last row or column of an odd side is dropped.
        frames: uint8 [H, W, 3] each, all of one size; for MP4 one at a time is in memory.
        fps: frames per second.
        quality: H.264's constant rate factor, 0 (best) to 51.

    Raises:
        ValueError: no frames, or another suffix.
        MissingPackageError: an MP4 is asked for and PyAV is not installed.
        OSError: the file cannot be written.
    """
    path = Path(path)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: a film needs at least one frame")
    frames = chain([first], frames)
    if path.suffix == ".mp4":
        _write_mp4(path, frames, first.shape, fps, quality)
    elif path.suffix in (".webp", ".gif"):
        _write_animation(path, frames, fps)
    else:
        raise ValueError(f"{path}: a film is .mp4, .webp or .gif")


def _write_mp4(
    path: Path, frames: Iterator[np.ndarray], shape: tuple[int, ...], fps: float, quality: int
) -> None:
    av = optional("av", "video")
    height, width = max(shape[0] // 2 * 2, 2), max(shape[1] // 2 * 2, 2)
    with atomic_write(path) as file:
        try:
            with av.open(file, "w", format="mp4") as container:
                stream = container.add_stream("h264", rate=Fraction(fps).limit_denominator(1001))
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.options = {"crf": str(quality), "preset": "medium"}
                # BT.709, and said so: players take other films for it, if these are large.
                context = stream.codec_context
                context.colorspace = context.color_primaries = context.color_trc = _BT709
                context.color_range = _LIMITED
                for frame in frames:
                    pixels = np.ascontiguousarray(_at_least_2(frame)[:height, :width])
                    picture = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(
                        format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
                    )
                    container.mux(stream.encode(picture))
                container.mux(stream.encode())
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror or str(error)) from None


def _at_least_2(frame: np.ndarray) -> np.ndarray:
    """A frame with sides of at least 2 pixels."""
    missing = [(0, max(0, 2 - side)) for side in frame.shape[:2]]
    return np.pad(frame, (*missing, (0, 0)), mode="edge")


def _write_animation(path: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    first, *rest = (Image.fromarray(frame) for frame in frames)
    with atomic_write(path) as file:
        first.save(
            file, format=path.suffix[1:].upper(), save_all=True, append_images=rest,
            duration=round(1000 / fps), loop=0, quality=_WEBP_QUALITY,
        )  # fmt: skip
