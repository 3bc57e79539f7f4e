"""Taichi's cache of compiled kernels on disk, and the lock that a killed process leaves in it."""

import contextlib
import os
import time
from pathlib import Path

import taichi as ti

LOCK_NAME = "ticache.lock"
STALE_SECONDS = 60.0  # age from which a lock is stale; live ones are held for a moment only


def kernel_cache_folder() -> Path:
    """The folder of Taichi's compiled kernels."""
    told = os.environ.get("TI_OFFLINE_CACHE_FILE_PATH")
    return Path(told or ti.lang.impl.default_cfg().offline_cache_file_path)


def drop_stale_lock(folder: Path) -> None:
    """Remove a lock that is too old to be held by any process.

    Taichi locks its cache with a file. A process killed while it holds the lock leaves the file
    behind. From then on every program would warn on standard error and compile all its kernels
    again.
    """
    lock = folder / LOCK_NAME
    with contextlib.suppress(OSError):  # no lock, gone by now, or another user's
        # A lock from the future is from before the clock was set back.
        if abs(time.time() - lock.stat().st_mtime) > STALE_SECONDS:
            lock.unlink()
