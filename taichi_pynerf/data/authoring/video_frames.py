"""The sharpest frames of a video: one from each of many windows of equal length."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from taichi_pynerf.errors import SceneError
from taichi_pynerf.extras import optional

SHARPNESS_WIDTH = 640
"""Width, in pixels, at which sharpness is judged; finer detail is mostly sensor noise."""


def extract_sharp_frames(
    video: Path, images_dir: Path, num_frames: int, *, progress: bool = True
) -> list[str]:
    """Write the sharpest frame of each of `num_frames` windows of a video as a JPEG.

    Frames are turned upright by the video's display matrix.

    Args:
        video: any file that FFmpeg decodes.
        images_dir: folder for `frame_00001.jpg`, ….
        num_frames: number of frames wanted; a shorter video gives all it has.
        progress: show a progress bar.

    Returns:
        The files' names in temporal order.

    Raises:
        MissingPackageError: PyAV is not installed.
        SceneError: the file is not a video that can be decoded.
        ValueError: `num_frames` is less than 1.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames must be 1 or more, got {num_frames}")
    av = optional("av", "video")
    names: list[str] = []

    def keep(frame: Any) -> None:
        names.append(f"frame_{len(names) + 1:05d}.jpg")
        pixels = np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns(frame.rotation))
        Image.fromarray(np.ascontiguousarray(pixels)).save(images_dir / names[-1], quality=95)

    try:
        total = _count_frames(av, video)
        num_windows = min(num_frames, total)
        best, best_sharpness, window = None, -1.0, 0
        with av.open(str(video)) as container:
            frames = container.decode(_video_stream(container, video))
            bar = tqdm(frames, "video", total, unit="frame", disable=not progress)
            for i, frame in enumerate(bar):
                if i * num_windows // total > window:
                    keep(best)
                    best_sharpness, window = -1.0, i * num_windows // total
                sharpness = _frame_sharpness(frame)
                if sharpness > best_sharpness:
                    best, best_sharpness = frame, sharpness
        if best is not None:
            keep(best)
    except av.FFmpegError as error:
        raise SceneError(f"{video}: cannot be decoded as a video ({error})") from None
    if not names:
        raise SceneError(f"{video}: this video has no frames")
    return names


def sharpness_of(grey: np.ndarray) -> float:
    """The variance of the Laplacian of an image [H, W], which motion and defocus lower."""
    grey = grey.astype(np.float32)
    laplacian = (
        grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    )
    return float(laplacian.var())


def quarter_turns(degrees: int) -> int:
    """Number of counter-clockwise turns by 90 degrees for the angle of a display matrix."""
    return round(degrees / 90) % 4


def _frame_sharpness(frame: Any) -> float:
    shrink = max(frame.width / SHARPNESS_WIDTH, 1.0)
    width, height = round(frame.width / shrink), round(frame.height / shrink)
    small = frame.reformat(width=max(width, 3), height=max(height, 3), format="gray")
    return sharpness_of(small.to_ndarray())


def _count_frames(av: ModuleType, video: Path) -> int:
    """Number of packets of the video stream: a quick, approximate count without decoding."""
    with av.open(str(video)) as container:
        stream = _video_stream(container, video)
        return max(sum(packet.size > 0 for packet in container.demux(stream)), 1)


def _video_stream(container: Any, video: Path) -> Any:
    if not container.streams.video:
        raise SceneError(f"{video}: there is no video in this file")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream
