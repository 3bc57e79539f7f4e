"""A lock that lets one training at a time write into a run folder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from taichi_pynerf.errors import RunFolderError

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold a run folder while a training writes into it.

    The lock is on the folder itself, so no file is left behind. The system removes it when the
    process ends, however that happens.

    Args:
        run_dir: the folder, which must exist.

    Raises:
        RunFolderError: another process holds it.
    """
    if sys.platform == "win32":  # has no locks on folders, so two trainings are not kept apart
        yield
        return
    handle = os.open(run_dir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(
                f"{run_dir}: another training writes into this folder; wait for it, or choose "
                "another --experiment_name"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)
