"""Taichi's cache of compiled kernels on disk, and the lock that a killed process leaves in it."""

import contextlib
import os
import time
from pathlib import Path

import taichi as ti

LOCK_NAME = "ticache.lock"
STALE_SECONDS = 60.0  # age of a lock that nobody holds any more: it is held for a moment


def kernel_cache_folder() -> Path:
    """Where Taichi keeps compiled kernels."""
    told = os.environ.get("TI_OFFLINE_CACHE_FILE_PATH")
    return Path(told or ti.lang.impl.default_cfg().offline_cache_file_path)


def drop_stale_lock(folder: Path) -> None:
    """Remove a lock that is older than any process needs it.

    Taichi locks its cache by a file. A process that is killed while it holds the lock leaves the
    file behind, and from then on every program warns on standard error and compiles all its
    kernels anew.
    """
    lock = folder / LOCK_NAME
    with contextlib.suppress(OSError):  # none there, gone meanwhile, or somebody else's
        if time.time() - lock.stat().st_mtime > STALE_SECONDS:
            lock.unlink()
