"""What the parser of a scene format returns, and what parsers need to read files safely."""

from __future__ import annotations

import json
import reprlib
from dataclasses import dataclass
from pathlib import Path

from taichi_pynerf.cameras import Cameras
from taichi_pynerf.errors import SceneError

MAX_JSON_BYTES = 32 * 2**20
"""Some 40,000 frames; a larger file is no scene description."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")


@dataclass(frozen=True, eq=False)
class SceneFiles:
    """One split of a scene on disk, before its images are decoded.

    Attributes:
        image_paths: V files.
        cameras: V cameras for the images at their full size.
        names: V names.
        near, far: the least and the greatest distance along a ray that can hold anything.
        aabb: the scene box (x0, y0, z0, x1, y1, z1) in world units.
        split: "train", "val", "test" or as the scene calls it.
        unbounded: whether things stand outside of the scene box too.
    """

    image_paths: list[Path]
    cameras: Cameras
    names: list[str]
    near: float
    far: float
    aabb: tuple[float, float, float, float, float, float]
    split: str
    unbounded: bool = False


_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = _REPR.maxother = 100


def shown(value: object) -> str:
    """`value` as an error message shows it: one line, short, whatever it holds."""
    return _REPR.repr(value)


def read_json(path: Path) -> object:
    """Read a JSON file; all its numbers come as floats, too large ones as infinity.

    Raises:
        SceneError: the file is missing, unreadable, too large or not JSON.
    """
    try:
        if not path.is_file():
            raise SceneError(f"{path}: no such file")
        if path.stat().st_size > MAX_JSON_BYTES:
            raise SceneError(f"{path}: larger than {MAX_JSON_BYTES // 2**20} MiB")
        # Python's integers have no end and can take minutes to read; floats do not.
        return json.loads(path.read_bytes(), parse_int=float)
    except json.JSONDecodeError as error:
        raise SceneError(
            f"{path}: broken JSON at line {error.lineno}, column {error.colno} ({error.msg})"
        ) from None
    except UnicodeDecodeError:
        raise SceneError(f"{path}: not JSON, for it is not text in UTF-8") from None
    except RecursionError:
        raise SceneError(f"{path}: the JSON is nested too deeply") from None
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror})") from None


def find_image(
    data_dir: Path, file_path: str, where: str, *, allow_external_paths: bool = False
) -> Path:
    """The image file that a scene description means by `file_path`, with or without its suffix.

    Args:
        data_dir: the scene folder, which `file_path` is relative to.
        file_path: as written in the description.
        where: the place in the description, for messages.
        allow_external_paths: accept files outside of `data_dir`. By default a scene reads its own
            folder alone (symbolic links followed), as scenes are often somebody else's files.

    Raises:
        SceneError: there is no such file, or it lies outside of `data_dir`.
    """
    try:
        given = data_dir / file_path
        candidates = [given, *(given.with_name(given.name + suffix) for suffix in IMAGE_SUFFIXES)]
        path = next((c for c in candidates if c.is_file()), None)
        inside = (path or given).resolve().is_relative_to(data_dir.resolve())
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, a loop of links
        raise SceneError(f"{where}: {shown(file_path)} is no path of a file") from None
    if not inside and not allow_external_paths:
        raise SceneError(
            f"{where}: {shown(file_path)} leads out of {data_dir}; move the image into the folder, "
            "or load the scene with allow_external_paths=True"
        )
    if path is None:
        raise SceneError(
            f"{where}: there is no image {shown(file_path)} in {data_dir} "
            "(nor with .png, .jpg or .jpeg added)"
        )
    return path
