"""One buffer of 8-bit pixels for all images of a scene: in memory, on disk, or kept for later."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.errors import SceneError, SceneWarning
from taichi_pynerf.files import CACHE_VARIABLE, atomic_write, cache_folder
from taichi_pynerf.geometry.cameras import Cameras

MAX_BYTES_IN_MEMORY = 2 * 2**30
"""Larger buffers are files that the system maps into memory, and reads and drops as it needs."""

MAX_BYTES_IN_CACHE = 4 * 2**30
"""Reduced images kept for later; the ones used least lately go first."""


def offsets_of(cameras: Cameras) -> torch.Tensor:
    """[V + 1] int64 bounds of the images in one buffer."""
    num_pixels = cameras.width * cameras.height
    return torch.cat([num_pixels.new_zeros(1), num_pixels.cumsum(0)])


def windows(pixels: np.ndarray, cameras: Cameras) -> list[np.ndarray]:
    """The [H, W, …] parts of a [P, …] buffer that are its images."""
    offsets, shape = offsets_of(cameras).tolist(), pixels.shape[1:]
    sizes = zip(cameras.height.tolist(), cameras.width.tolist(), strict=True)
    return [
        pixels[offsets[i] : offsets[i + 1]].reshape(height, width, *shape)
        for i, (height, width) in enumerate(sizes)
    ]


def allocate(num_pixels: int, channels: int) -> np.ndarray:
    """A [P, C] uint8 buffer with any content, in memory or, if it is large, in a temporary file.

    Raises:
        SceneError: there is no room for it.
    """
    shape, num_bytes = (num_pixels, channels), num_pixels * channels
    try:
        if num_bytes <= MAX_BYTES_IN_MEMORY:
            return np.empty(shape, dtype=np.uint8)
        return _map_temporary_file(shape, num_bytes)
    except (MemoryError, OSError) as error:
        raise SceneError(
            f"the images need {num_bytes / 2**30:.1f} GiB, and there is no room for them "
            f"({error}); load them smaller with img_downscale"
        ) from None


def _map_temporary_file(shape: tuple[int, int], num_bytes: int) -> np.ndarray:
    """A buffer in a file without a name, which is gone when nothing uses it any more."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # Writing to a map on a full disk would end the process.
    if shutil.disk_usage(folder).free < num_bytes:
        raise OSError(f"{folder} is full")
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, num_bytes)
        return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)


def cache_path(paths: list[Path], settings: object) -> Path:
    """Where the pixels made from some files with some settings are kept.

    The name follows from the files' places, sizes and times, so that a changed file is a new one.
    """
    parts = [repr(settings)]
    for path in paths:
        stat = path.stat()
        parts.append(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}")
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:24]
    return cache_folder() / "pixels" / f"{digest}.npy"


def read_cached(path: Path, num_pixels: int, channels: int) -> np.ndarray | None:
    """The [P, C] uint8 pixels kept at `path`, or None if there are none."""
    try:
        large = num_pixels * channels > MAX_BYTES_IN_MEMORY
        # Copy on write: what is done to the scene in memory does not reach the cache.
        pixels = np.load(path, mmap_mode="c" if large else None, allow_pickle=False)
        path.touch()  # used lately
    except (OSError, ValueError, EOFError):
        return None
    return pixels if pixels.dtype == np.uint8 and pixels.shape == (num_pixels, channels) else None


def write_cached(path: Path, pixels: np.ndarray) -> None:
    """Keep pixels at `path`, and drop old ones beyond `MAX_BYTES_IN_CACHE`.

    A cache that cannot be written costs time at the next start and nothing else, so that is only
    said, as a warning.
    """
    if pixels.nbytes > MAX_BYTES_IN_CACHE // 2:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = MAX_BYTES_IN_CACHE - pixels.nbytes
        for stat, old in sorted(
            ((old.stat(), old) for old in path.parent.glob("*.npy")),
            key=lambda entry: entry[0].st_mtime,
            reverse=True,
        ):
            kept -= stat.st_size
            if kept < 0:
                old.unlink(missing_ok=True)
        with atomic_write(path) as file:
            np.lib.format.write_array(file, pixels, allow_pickle=False)
    except OSError as error:
        warnings.warn(
            f"{path}: the reduced images cannot be kept for the next time ({error.strerror}); set "
            f"{CACHE_VARIABLE} to a folder that can be written",
            SceneWarning,
            stacklevel=2,
        )
