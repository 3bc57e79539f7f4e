"""Crop boxes as nerfstudio writes them: in a camera_path.json, or in their own JSON file."""

from __future__ import annotations

from pathlib import Path

import torch

from taichi_pynerf.data.scene_files import read_json, shown
from taichi_pynerf.errors import SceneError
from taichi_pynerf.files import atomic_write_text, json_text
from taichi_pynerf.geometry.crop_box import CropBox

_NAMES = (("crop_center", "crop_scale", "crop_rot"), ("obb_center", "obb_scale", "obb_rotation"))
_LARGEST = 1e9


def read_crop(path: str | Path) -> CropBox:
    """Read a box from a JSON file: an object, or its "crop".

    The object has crop_center, crop_scale (the three sides) and crop_rot (roll, pitch, yaw in
    radians; 0 if absent), or the same values named obb_….

    Raises:
        SceneError: the file cannot be read, or holds no such box.
    """
    path = Path(path)
    content = read_json(path)
    if isinstance(content, dict) and content.get("crop") is not None:
        content = content["crop"]
    return crop_of(str(path), content)


def crop_of(where: str, content: object) -> CropBox:
    """The box that a JSON object describes.

    Raises:
        SceneError: the object does not describe a box.
    """
    names = next((n for n in _NAMES if isinstance(content, dict) and n[0] in content), None)
    if names is None or not isinstance(content, dict):
        raise SceneError(f"{where}: a crop needs crop_center, crop_scale and crop_rot")
    center, size = (_three(where, content, name) for name in names[:2])
    angles = (0.0, 0.0, 0.0)
    if content.get(names[2]) is not None:
        angles = _three(where, content, names[2])
    try:
        return CropBox(center, size, angles)
    except ValueError as error:
        raise SceneError(f"{where}: {names[1]}: {error}") from None


def background_of(where: str, content: dict) -> torch.Tensor | None:
    """A crop's "crop_bg_color" ({"r", "g", "b"} up to 255) as [3] in [0, 1]; None if it has none.

    Raises:
        SceneError: the value is not a colour.
    """
    color = content.get("crop_bg_color")
    if color is None:
        return None
    channels = [color.get(c) for c in "rgb"] if isinstance(color, dict) else [None]
    if not all(type(c) is float and 0 <= c <= 255 for c in channels):
        raise SceneError(f"{where}: crop_bg_color is {shown(color)}: give r, g and b, 0 to 255")
    return torch.tensor(channels) / 255


def crop_entry(crop: CropBox, background: tuple[float, ...] = (1.0, 1.0, 1.0)) -> dict:
    """The entry for a box in a camera_path.json, which `read_crop` and nerfstudio can read."""
    return {
        "crop_center": list(crop.center),
        "crop_scale": list(crop.size),
        "crop_rot": list(crop.angles),
        "crop_bg_color": {c: round(255 * v) for c, v in zip("rgb", background, strict=True)},
    }


def write_crop(path: str | Path, crop: CropBox) -> None:
    """Write a box as a JSON file that `read_crop` reads.

    Raises:
        OSError: the file cannot be written.
    """
    atomic_write_text(path, json_text(crop_entry(crop), indent=2) + "\n")


def _three(where: str, content: dict, name: str) -> tuple[float, float, float]:
    values = content.get(name)
    if (
        not isinstance(values, list)
        or len(values) != 3
        or not all(type(v) is float and abs(v) <= _LARGEST for v in values)
    ):
        raise SceneError(f"{where}: {name} is {shown(values)}: it must be three numbers")
    x, y, z = values
    return x, y, z
