"""What the parser of a scene format returns, and what parsers need to read files safely."""

from __future__ import annotations

import functools
import json
import reprlib
import warnings
from collections.abc import Sequence
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
"""Largest scene description, in bytes: some 40,000 frames."""


@dataclass(frozen=True)
class LoadOptions:
    """What the user asks of every parser.

    Attributes:
        img_downscale: the factor between the files' full size and what is called full size from
            here on.
        placement: how the scene is to stand in its coordinates.
        allow_external_paths: let the scene name files outside of its folder.
        exposure: in stops, for images whose values are in proportion to light.
        holdout: hold out every so many images, 0 for none; None leaves it to the scene.
    """

    img_downscale: int = 1
    placement: Placement = field(default_factory=Placement)
    allow_external_paths: bool = False
    exposure: float = 0.0
    holdout: int | None = None


@dataclass(frozen=True, eq=False)
class SceneFiles:
    """One split of a scene on disk, before its images are decoded.

    Attributes:
        image_paths: V files; none in a split of poses without images.
        cameras: V cameras for the images at the files' size.
        names: V names.
        near, far: the least and the greatest distance along a ray that can hold anything.
        aabb: the scene box (x0, y0, z0, x1, y1, z1) in world units.
        split: "train", "val", "test" or as the scene calls it.
        unbounded: whether things stand outside of the scene box too.
        transform: what brought the coordinates of the files to those of `cameras`.
        reduction: how many times smaller than full size the files are already.
        upright: [V] whether to turn each image as its EXIF orientation says; None turns all.
        mask_paths: V masks, None where all pixels count; None if no image has a mask.
        circle_radii: V radii in pixels, beyond which pixels do not count, None where all do.
        depth_paths: V depth images, None where there is none; None if no image has one.
        depth_units: V scene units in a value of each depth image.
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
    upright: list[bool] | None = None
    mask_paths: list[Path | None] | None = None
    circle_radii: list[float | None] | None = None
    depth_paths: list[Path | None] | None = None
    depth_units: list[float] | None = None
    scales: torch.Tensor | None = None
    pixel_weights: torch.Tensor | None = None

    @property
    def has_images(self) -> bool:
        """Whether there are images; else there are poses to render alone."""
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
            scales=None if self.scales is None else self.scales[indices],
            pixel_weights=None if self.pixel_weights is None else self.pixel_weights[indices],
        )


_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = _REPR.maxother = 100


def shown(value: object) -> str:
    """`value` as an error message shows it: one line, short, whatever it holds."""
    return _REPR.repr(value)


@functools.cache
def warn_once(message: str) -> None:
    """Warn of something in a scene; only once, however many splits of it are loaded."""
    warnings.warn(message, SceneWarning, stacklevel=3)


def read_json(path: Path) -> object:
    """Read a JSON file; all its numbers come as floats, too large ones as infinity.

    Raises:
        SceneError: the file is missing, unreadable, too large or not JSON.
    """
    try:
        if not path.is_file():
            raise SceneError(f"{path}: no such file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SceneError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB")
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


def read_npy(path: Path) -> np.ndarray:
    """Read an array of real numbers as float64. Nothing is run, and no more is read than is there.

    Raises:
        SceneError: the file is missing, unreadable, too large or no such array.
    """
    try:
        if not path.is_file():
            raise SceneError(f"{path}: no such file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SceneError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB")
        # Mapped, a file whose header claims more than there is makes an error and no allocation.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
            raise SceneError(f"{path}: must hold an array of numbers")
        return np.array(array, dtype=np.float64)
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SceneError:
        raise
    except Exception:  # numpy evaluates the header, and raises almost anything at broken ones
        raise SceneError(f"{path}: no array that numpy can read") from None


def checked_text(where: str, owner: dict, name: str) -> str:
    """A text that is there and not empty.

    Raises:
        SceneError: it is not.
    """
    text = owner.get(name)
    if not isinstance(text, str) or not text:
        raise SceneError(f"{where}: {name} must be the path of a file, not {shown(text)}")
    return text


def checked_number(where: str, owner: dict, name: str, low: float, high: float) -> float:
    """A number in [low, high] of a JSON object read by `read_json`.

    Raises:
        SceneError: it is missing, something else, or out of the range.
    """
    value = owner.get(name)
    if type(value) is not float or not low <= value <= high:
        what = "is missing" if name not in owner else f"is {shown(value)}"
        raise SceneError(f"{where}: {name} {what}: it must be a number from {low:g} to {high:g}")
    return value
