"""A lock that lets one training at a time write into a run folder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from taichi_pynerf.errors import RunFolderError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WINDOWS_NAME = ".lock"


@contextlib.contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold a run folder while a training writes into it.

    The lock is on the folder itself, so no file is left behind; Windows, which has no locks on
    folders, gets an empty file. The system removes the lock when the process ends, however that
    happens.

    Args:
        run_dir: the folder, which must exist.

    Raises:
        RunFolderError: another process holds it.
    """
    if sys.platform == "win32":
        handle = os.open(run_dir / WINDOWS_NAME, os.O_RDWR | os.O_CREAT)
    else:
        handle = os.open(run_dir, os.O_RDONLY)
    try:
        if not _locked(handle):
            raise RunFolderError(
                f"{run_dir}: another training writes into this folder; wait for it, or choose "
                "another --experiment_name"
            )
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def run_folder_held(run_dir: Path) -> Iterator[Callable[[], None]]:
    """Hold a run folder from the start, before anything is read from it, if it is there.

    Yields:
        A function to be called before the first file is written: it makes a folder that was not
        there, and holds it.

    Raises:
        RunFolderError: another process holds it, then or when the function is called.
    """
    with contextlib.ExitStack() as held:
        is_new = not run_dir.is_dir()
        if not is_new:
            held.enter_context(run_lock(run_dir))

        def make() -> None:
            if is_new:
                run_dir.mkdir(parents=True, exist_ok=True)
                held.enter_context(run_lock(run_dir))

        yield make


def _locked(handle: int) -> bool:
    """Lock an open file or folder; false if another process has done so."""
    if sys.platform == "win32":
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True
