"""The result of parsing a scene format, and functions that read files safely."""

from __future__ import annotations

import codecs
import contextlib
import functools
import json
import reprlib
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from taichi_pynerf.data.placement import Placement, SceneTransform
from taichi_pynerf.errors import SceneError, SceneWarning
from taichi_pynerf.geometry.cameras import Cameras

_T = TypeVar("_T")

MAX_FILE_BYTES = 32 * 2**20
"""Largest scene description, in bytes; holds about 40,000 frames."""


@dataclass(frozen=True)
class LoadOptions:
    """The options of the user, for every parser.

    Attributes:
        img_downscale: divisor of the files' full size; the quotient counts as full size.
        placement: how to place the scene in its coordinates.
        allow_external_paths: let the scene name files outside of its folder.
        exposure: exposure in stops, for images whose values are proportional to light.
        holdout: N holds out every N-th image, 0 none; None leaves it to the scene.
        colmap_path: COLMAP's sparse model to take, relative to the scene folder; None finds one.
    """

    img_downscale: int = 1
    placement: Placement = field(default_factory=Placement)
    allow_external_paths: bool = False
    exposure: float = 0.0
    holdout: int | None = None
    colmap_path: str | None = None


@dataclass(frozen=True, eq=False)
class SceneFiles:
    """One split of a scene on disk, before its images are decoded.

    Attributes:
        image_paths: V files; empty in a split of poses without images.
        cameras: V cameras for the images at the files' size.
        names: V names.
        near, far: least and greatest distance along a ray that can hold anything, world units.
        aabb: the scene box (x0, y0, z0, x1, y1, z1) in world units.
        split: "train", "val", "test" or the scene's own name.
        unbounded: whether there is something outside of the scene box too.
        transform: the transform from the coordinates of the files to those of `cameras`.
        reduction: factor by which the files are already smaller than full size.
        file_scale: factor by which all files are that are there; 1 if there are any of full size.
        upright: [V] whether to turn each image as its EXIF orientation says; None turns all.
        mask_paths: V masks, None where all pixels count; None if no image has a mask.
        circle_radii: V radii in pixels beyond which pixels do not count; None where all count.
        depth_paths: V depth images, None where there is none; None if no image has one.
        depth_units: V factors from values of the depth images to scene units.
        sightings: V arrays float64 [K, 3] of points that an image sees, or None: their place in it
            as shares of its width and height, and their depth in world units.
        scales: [V] int64, the scale of each image in a format that holds several; None means 1.
        pixel_weights: [V] float32 with `scales`: the area of the pixels in full-size pixels.
    """

    image_paths: list[Path]
    cameras: Cameras
    names: list[str]
    near: float
    far: float
    aabb: tuple[float, ...]
    split: str
    unbounded: bool = False
    transform: SceneTransform = field(default_factory=SceneTransform)
    reduction: int = 1
    file_scale: int = 1
    upright: list[bool] | None = None
    mask_paths: list[Path | None] | None = None
    circle_radii: list[float | None] | None = None
    depth_paths: list[Path | None] | None = None
    depth_units: list[float] | None = None
    sightings: list[np.ndarray | None] | None = None
    scales: torch.Tensor | None = None
    pixel_weights: torch.Tensor | None = None

    @property
    def has_images(self) -> bool:
        """Whether there are images; if not, there are only poses to render."""
        return bool(self.image_paths)

    def select(self, indices: list[int]) -> SceneFiles:
        """Some of the images, in the order of `indices`."""

        def chosen(values: Sequence[_T]) -> list[_T]:
            return [values[i] for i in indices]

        return replace(
            self,
            image_paths=chosen(self.image_paths) if self.has_images else [],
            cameras=self.cameras.select(indices),
            names=chosen(self.names),
            upright=None if self.upright is None else chosen(self.upright),
            mask_paths=None if self.mask_paths is None else chosen(self.mask_paths),
            circle_radii=None if self.circle_radii is None else chosen(self.circle_radii),
            depth_paths=None if self.depth_paths is None else chosen(self.depth_paths),
            depth_units=None if self.depth_units is None else chosen(self.depth_units),
            sightings=None if self.sightings is None else chosen(self.sightings),
            scales=None if self.scales is None else self.scales[indices],
            pixel_weights=None if self.pixel_weights is None else self.pixel_weights[indices],
        )

    def at_full_size(self) -> SceneFiles:
        """Without the coarser images of formats that hold several scales."""
        return self if self.scales is None else self.select(finest_views(self.scales))


def finest_views(scales: torch.Tensor) -> list[int]:
    """The images that count as full size: those at the least of the scales int64 [V]."""
    return (scales == scales.min()).nonzero().squeeze(1).tolist()


_noted: ContextVar[set[Path] | None] = ContextVar("_noted", default=None)


@contextlib.contextmanager
def noted() -> Iterator[set[Path]]:
    """The files and folders that a description is made from, noted by the readers in the context.

    Those that were looked for and are not there belong to them: they may come.
    """
    seen: set[Path] = set()
    token = _noted.set(seen)
    try:
        yield seen
    finally:
        _noted.reset(token)


def note(*paths: Path) -> None:
    """Note what a description depends on, if somebody wants to know."""
    seen = _noted.get()
    if seen is not None:
        seen.update(paths)


_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = _REPR.maxother = 100


def shown(value: object) -> str:
    """A value for an error message: one short line, whatever it holds."""
    return _REPR.repr(value)


@functools.cache
def warn_once(message: str) -> None:
    """Give a warning about a scene; once only, however many of its splits are loaded."""
    warnings.warn(message, SceneWarning, stacklevel=3)


def _check_size(path: Path, num_bytes: int, most: int) -> None:
    if num_bytes > most:
        raise SceneError(f"{path}: larger than {most // 2**20} MiB, the most that is read of it")


def read_json(path: Path, *, most: int = MAX_FILE_BYTES) -> object:
    """Read a JSON file. All numbers become floats, and too large ones become infinity.

    Args:
        path: the file.
        most: largest file that is read, bytes.

    Raises:
        SceneError: the file is missing, unreadable, too large or not JSON.
    """
    note(path)
    try:
        if not path.is_file():
            raise SceneError(f"{path}: no such file")
        _check_size(path, path.stat().st_size, most)
        # Parsing Python's unlimited integers can take minutes; floats are quick.
        data = path.read_bytes()
        if len(data) > MAX_FILE_BYTES and sum(map(data.count, b",[{")) > MAX_FILE_BYTES:
            raise SceneError(f"{path}: holds more than {MAX_FILE_BYTES} values and lists of values")
        return json.loads(data, parse_int=float)
    except json.JSONDecodeError as error:
        what = _other_than_json(data)
        if what:
            raise SceneError(f"{path}: {what}") from None
        raise SceneError(
            f"{path}: broken JSON at line {error.lineno}, column {error.colno} ({error.msg})"
        ) from None
    except UnicodeDecodeError:
        raise SceneError(f"{path}: not JSON, as it is not text in UTF-8") from None
    except RecursionError:
        raise SceneError(f"{path}: the JSON is nested too deeply") from None
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror})") from None


def _other_than_json(data: bytes) -> str:
    """What a file is that came in place of JSON, with what to do; empty if that is not known."""
    head = data[:64].lstrip().lower()
    if not head:
        return "an empty file: copy or download it again"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page, not JSON: download the file itself"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself (git lfs pull gets it)"
    return ""


def read_npy(path: Path, *, most: int = MAX_FILE_BYTES) -> np.ndarray:
    """Read an array of real numbers as float64, without running code or trusting its header.

    Args:
        path: the file.
        most: largest file that is read, bytes.

    Raises:
        SceneError: the file is missing, unreadable, too large or not such an array.
    """
    note(path)
    try:
        if not path.is_file():
            raise SceneError(f"{path}: no such file")
        _check_size(path, path.stat().st_size, most)
        # With mapping, a header that claims too much gives an error instead of an allocation.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
            raise SceneError(f"{path}: must hold an array of numbers")
        return np.array(array, dtype=np.float64)
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SceneError:
        raise
    except Exception:  # numpy evaluates the header, and raises almost anything at broken ones
        raise SceneError(f"{path}: not an array that numpy can read") from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read small arrays of real numbers as float64, without running code.

    Raises:
        SceneError: the file is missing, unreadable, too large or of another kind.
    """
    note(path)
    try:
        with zipfile.ZipFile(path) as archive:
            num_bytes = sum(member.file_size for member in archive.infolist())
            _check_size(path, num_bytes, MAX_FILE_BYTES)
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SceneError:
        raise
    except Exception:  # numpy and zipfile raise almost anything at broken files
        raise SceneError(f"{path}: not arrays that numpy can read") from None
    return {  # members that are no arrays come as bytes
        name: x.astype(np.float64)
        for name, x in found.items()
        if isinstance(x, np.ndarray) and x.dtype.kind in "iuf"
    }


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 with a mark, as Windows' programs write it.

    Raises:
        SceneError: the file is missing, unreadable, too large or not text.
    """
    data = read_bytes(path)
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise SceneError(f"{path}: not text in UTF-8; an editor can save it as such") from None


def read_bytes(path: Path) -> bytes:
    """Read a description.

    Raises:
        SceneError: the file is missing, unreadable or too large.
    """
    note(path)
    try:
        _check_size(path, path.stat().st_size, MAX_FILE_BYTES)
        return path.read_bytes()
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror})") from None


def checked_text(where: str, owner: dict, name: str) -> str:
    """A member of a JSON object that must be a text and not empty.

    Raises:
        SceneError: it is missing, empty or not a text.
    """
    text = owner.get(name)
    if not isinstance(text, str) or not text:
        raise SceneError(f"{where}: {name} must be the path of a file, not {shown(text)}")
    return text


def checked_number(where: str, owner: dict, name: str, low: float, high: float) -> float:
    """A number in [low, high] of a JSON object read by `read_json`; it may be in quotes.

    Raises:
        SceneError: it is missing, not a number, or out of range.
    """
    value = owner.get(name)
    if isinstance(value, str):  # some exporters put numbers into quotes
        with contextlib.suppress(ValueError):
            value = float(value)
    if type(value) is not float or not low <= value <= high:
        what = "is missing" if name not in owner else f"is {shown(value)}"
        raise SceneError(f"{where}: {name} {what}: it must be a number from {low:g} to {high:g}")
    return value
