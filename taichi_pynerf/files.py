"""Writing files completely or not at all, and the cache folder."""

import contextlib
import errno
import glob
import json
import math
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from taichi_pynerf.errors import RunFolderError

CACHE_VARIABLE = "TAICHI_PYNERF_CACHE"
_WAITS = (0.05, 0.2, 0.5, 1.0, 2.0)  # seconds


def cache_folder() -> Path:
    """The folder in the environment variable TAICHI_PYNERF_CACHE, or ~/.cache/taichi_pynerf."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "taichi_pynerf")


def is_there(path: Path) -> bool:
    """Whether there is a file or folder at a path, of which a part may be too long for a name.

    For paths made from a name by adding to it: there can be none then, and that is no error.
    """
    try:
        return path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file that gets its name when it is complete; after an error nothing is left.

    Raises:
        OSError: the file cannot be written; its `filename` is `path`.
    """
    path = Path(path)
    # Not by `tempfile`, which on Windows tries for hours to make a file where none may be made.
    partial, is_ours = path.with_name(f".{path.name}.{secrets.token_hex(4)}"), False
    try:
        with partial.open("xb") as file:
            is_ours = True
            yield file
        put_in_place(partial, path)
    except BaseException as error:
        if is_ours:
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(path)
        raise


def put_in_place(source: Path, target: Path) -> None:
    """Rename a file, in place of an earlier one, or a folder to a name that is free.

    Windows refuses while another program has either of them open, as those do that look for viruses
    or make backups: it is asked again for some seconds.

    Raises:
        OSError: it cannot be renamed.
    """
    for seconds in _WAITS if sys.platform == "win32" else ():
        try:
            source.replace(target)
            return
        except PermissionError:
            time.sleep(seconds)
    source.replace(target)


def open_to_append(path: Path) -> IO[bytes]:
    """Open a file to append to. Links are not followed: a folder from elsewhere may hold one that
    leads to any file of the user.

    Raises:
        OSError: the file cannot be written, or is a link.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o666), "ab")


def refuse_links(root: Path, folder: Path) -> None:
    """Refuse a folder to write into that a link below `root` leads to.

    A run folder from elsewhere may hold one that leads to any folder of the user.

    Args:
        root: a folder that the user has named; it may be a link.
        folder: below it; need not exist.

    Raises:
        RunFolderError: a part of the path below `root` is a link.
    """
    for part in (folder, *folder.parents):
        if part == root:
            return
        if part.is_symlink():
            raise RunFolderError(
                f"{part}: this is a link, which is not followed for writing: remove it, or name "
                "the folder that it leads to yourself"
            )


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the unfinished files of `atomic_write` in processes that were killed.

    Args:
        folder: their folder, into which no other process writes now.
        names: the files that were to be written.
    """
    for name in names:
        for path in folder.glob(f".{glob.escape(name)}.*"):
            path.unlink(missing_ok=True)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write a text file completely or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())


def json_text(value: object, indent: int | None = None) -> str:
    """A value as JSON. Numbers that are not finite become null: JSON has none."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
