"""One buffer of 8-bit pixels for all images of a scene: in memory, on disk, or cached."""

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
from taichi_pynerf.runtime.memory import free_memory

MAX_BYTES_IN_MEMORY = 2 * 2**30
"""Larger buffers are memory-mapped files, which the system reads and drops as needed."""

MAX_BYTES_IN_CACHE = 4 * 2**30
"""Size of the cache of reduced images; the least recently used are deleted first."""


def offsets_of(cameras: Cameras) -> torch.Tensor:
    """Bounds int64 [V + 1] of the images in one buffer."""
    num_pixels = cameras.width * cameras.height
    return torch.cat([num_pixels.new_zeros(1), num_pixels.cumsum(0)])


def in_proportion(size: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two sizes (height, width) have the same proportions, to within 2 %."""
    (rows, columns), (height, width) = size, other
    return abs(columns * height - rows * width) <= 0.02 * max(columns * height, rows * width)


def nearest(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image [h, w] resampled to [height, width] by nearest values."""
    y = ((np.arange(height) + 0.5) * image.shape[0] / height).astype(int)
    x = ((np.arange(width) + 0.5) * image.shape[1] / width).astype(int)
    return image[y[:, None], x[None, :]]


def windows(pixels: np.ndarray, cameras: Cameras) -> list[np.ndarray]:
    """The images [H, W, …] of a buffer [P, …], as views of it."""
    offsets, shape = offsets_of(cameras).tolist(), pixels.shape[1:]
    sizes = zip(cameras.height.tolist(), cameras.width.tolist(), strict=True)
    return [
        pixels[offsets[i] : offsets[i + 1]].reshape(height, width, *shape)
        for i, (height, width) in enumerate(sizes)
    ]


def allocate(
    num_pixels: int, channels: int, dtype: type[np.generic] = np.uint8, what: str = "images"
) -> np.ndarray:
    """An uninitialised buffer [P, C] of a type, in memory or, if large, in a temporary file.

    Args:
        num_pixels, channels, dtype: its shape and type.
        what: what it is for, in the message if there is no room.

    Raises:
        SceneError: there is no room for it.
    """
    shape, num_bytes = (num_pixels, channels), num_pixels * channels * np.dtype(dtype).itemsize
    try:
        if num_bytes <= MAX_BYTES_IN_MEMORY:
            if num_bytes > (free := free_memory(torch.device("cpu"))):
                raise MemoryError(f"{free / 2**30:.2f} GiB of memory are free")
            return np.empty(shape, dtype)
        return _map_temporary_file(shape, dtype, num_bytes)
    except (MemoryError, OSError) as error:
        raise SceneError(
            f"the {what} need {num_bytes / 2**30:.1f} GiB, and there is no room for them "
            f"({error}); load them smaller with img_downscale (--img_downscale)"
        ) from None


def _map_temporary_file(
    shape: tuple[int, int], dtype: type[np.generic], num_bytes: int
) -> np.ndarray:
    """A buffer in a file without a name, which disappears when nothing uses it any more."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # Writing to a mapped file on a full disk would end the process.
    if shutil.disk_usage(folder).free < num_bytes:
        raise OSError(f"{folder} is full")
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, num_bytes)
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def cache_path(paths: list[Path], settings: object) -> Path:
    """The cache file for the pixels made from some files with some settings.

    Its name depends on the files' paths, sizes and times, so that changed files get another one.
    """
    parts = [repr(settings)]
    for path in paths:
        stat = path.stat()
        parts.append(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}")
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:24]
    return cache_folder() / "pixels" / f"{digest}.npy"


def read_cached(path: Path, num_pixels: int, channels: int) -> np.ndarray | None:
    """The pixels uint8 [P, C] cached at `path`, or None if there are none."""
    try:
        large = num_pixels * channels > MAX_BYTES_IN_MEMORY
        # Copy on write: changes to the scene in memory do not reach the cache.
        pixels = np.load(path, mmap_mode="c" if large else None, allow_pickle=False)
        path.touch()  # mark as recently used
    except (OSError, ValueError, EOFError):
        return None
    return pixels if pixels.dtype == np.uint8 and pixels.shape == (num_pixels, channels) else None


def write_cached(path: Path, pixels: np.ndarray) -> None:
    """Cache pixels at `path`, and delete old ones beyond `MAX_BYTES_IN_CACHE`.

    If the cache cannot be written, the next start is slower and nothing else is lost. So this only
    gives a warning.
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
