"""Taichi's cache of compiled kernels on disk: where it is, and what may be wrong with it."""

import atexit
import contextlib
import os
import secrets
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import taichi as ti

from taichi_pynerf.errors import RunWarning

LOCK_NAME = "ticache.lock"
STALE_SECONDS = 60.0  # age from which a lock is stale; live ones are held for a moment only


def kernel_cache_folder() -> Path:
    """The folder of Taichi's compiled kernels."""
    told = os.environ.get("TI_OFFLINE_CACHE_FILE_PATH")
    return Path(told or ti.lang.impl.default_cfg().offline_cache_file_path)


def writable_cache_folder() -> Path:
    """The folder of Taichi's compiled kernels, or a temporary one with a warning.

    Taichi makes the folder when the process ends, with and without its cache, and crashes if that
    fails.
    """
    folder = kernel_cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{secrets.token_hex(4)}"
        probe.touch(exist_ok=False)
        probe.unlink()
        return folder
    except OSError as error:
        warnings.warn(
            f"{folder}: {error.strerror or error}: kernels are compiled anew at each start; set "
            "TI_OFFLINE_CACHE_FILE_PATH to a folder that can be written",
            RunWarning,
            stacklevel=2,
        )
    # A name that others can foresee would let them put kernels there.
    folder = Path(tempfile.mkdtemp(prefix="taichi_pynerf_kernels_"))
    atexit.register(_leave, folder)
    return folder


def _leave(folder: Path) -> None:
    """Remove a temporary folder, after Taichi has written into it for the last time."""
    ti.reset()
    shutil.rmtree(folder, ignore_errors=True)


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
