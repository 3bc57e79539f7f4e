"""Making a scene folder that appears complete or not at all."""

import contextlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from taichi_pynerf.errors import SceneError
from taichi_pynerf.files import put_in_place


@contextlib.contextmanager
def new_scene_folder(
    out_dir: str | Path, *, overwrite: bool = False, contents: Sequence[str] = ()
) -> Iterator[Path]:
    """An empty folder to fill, which is renamed to `out_dir` when it is complete.

    After an error or an interruption nothing is left of it, and the previous content of `out_dir`
    is still there.

    Args:
        out_dir: a new or empty folder, unless `overwrite`.
        overwrite: replace an existing folder if all of its entries match `contents`. A typing
            mistake then costs an older result at most, and nobody's photos.
        contents: patterns (`fnmatch`) of the entries of such folders.

    Raises:
        SceneError: `out_dir` is not empty, holds something else, or cannot be written.
    """
    out_dir = Path(out_dir)
    target = out_dir.resolve()
    _check_free(out_dir, overwrite, contents)
    unfinished = _sibling(target, "unfinished")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        _check_free(out_dir, overwrite, contents)  # it may have been filled meanwhile
        _take_place(unfinished, target)
    except OSError as error:
        raise SceneError(
            f"{out_dir} cannot be written ({error.strerror or error}): choose another folder"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _check_free(out_dir: Path, overwrite: bool, contents: Sequence[str]) -> None:
    try:
        if not out_dir.exists():
            return
        entries = sorted(path.name for path in out_dir.iterdir()) if out_dir.is_dir() else None
    except OSError as error:
        raise SceneError(f"{out_dir}: cannot be read ({error.strerror})") from None
    if entries is None or (entries and not overwrite):
        raise SceneError(f"{out_dir} is there already: remove it or choose another folder")
    for entry in entries:
        if not any(fnmatchcase(entry, pattern) for pattern in contents):
            raise SceneError(
                f"{out_dir} holds {entry}, which is no part of such a scene, and is not "
                "overwritten: choose another folder"
            )


def _take_place(folder: Path, target: Path) -> None:
    """Rename `folder` to `target`; the old content is deleted once the new one is in place."""
    if not target.exists():
        put_in_place(folder, target)
        return
    old = _sibling(target, "replaced")
    put_in_place(target, old)
    try:
        put_in_place(folder, target)
    except BaseException:
        put_in_place(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sibling(target: Path, state: str) -> Path:
    return target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.{state}"
