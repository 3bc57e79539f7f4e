"""Image files, and sheets that show several pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from taichi_pynerf.files import atomic_write, atomic_write_text, json_text

_MARGIN, _HEADING = 8, 22
_LEAST_WIDTH = 160
_INK, _PAPER = (40, 40, 40), (255, 255, 255)
_DEEPEST = 2**16 - 1


def to_bytes(values: torch.Tensor) -> np.ndarray:
    """uint8 values of floats in [0, 1], of any shape."""
    return (values.clamp(0, 1) * 255).round().byte().numpy()


def write_png(path: str | Path, image: np.ndarray | Image.Image) -> None:
    """Write a PNG completely or not at all.

    Args:
        image: uint8 [H, W, 4], [H, W, 3] or [H, W], uint16 [H, W], or a pillow image.
    """
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    with atomic_write(path) as file:
        image.save(file, format="PNG")


def read_png(path: str | Path, background: Sequence[float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """uint8 [H, W, 3] of an 8-bit PNG; transparent pixels are put on a background in [0, 1]."""
    with Image.open(path) as image:
        if image.mode != "RGBA":
            return np.array(image.convert("RGB"))
        rgba = np.array(image, dtype=np.float32)
    alpha = rgba[..., 3:] / 255
    behind = 255 * np.asarray(background, dtype=np.float32)
    return np.round(alpha * rgba[..., :3] + (1 - alpha) * behind).astype(np.uint8)


def without_background(
    rgb: torch.Tensor, acc: torch.Tensor, background: torch.Tensor
) -> np.ndarray:
    """Straight RGBA uint8 [H, W, 4] from an image over a background.

    Args:
        rgb, acc: [H, W, 3] and [H, W], the image and its opacity.
        background: [3] colour of the background.
    """
    acc = acc.unsqueeze(-1)
    straight = (rgb - (1 - acc) * background) / acc.clamp_min(1e-3)
    return to_bytes(torch.cat([straight, acc], -1))


def normal_colors(normal: torch.Tensor) -> np.ndarray:
    """Colours uint8 [H, W, 3] of unit normals [H, W, 3]: -1 is 0, 1 is 255; no normal is grey."""
    return to_bytes(0.5 * normal + 0.5)


def write_depth(
    path: Path, depth: torch.Tensor, acc: torch.Tensor, scene_scale: float = 1.0
) -> None:
    """Write a 16-bit PNG of a depth map, and beside it a JSON file with the unit of its values.

    depth = value * "depth_unit", in world units along the ray. The value 0 means that the opacity
    is below 0.5.

    Args:
        path: the PNG; the JSON has the same name with the suffix .json.
        depth, acc: [H, W] distance and opacity.
        scene_scale: world units per unit of the scene's files, for the JSON file.
    """
    depth = torch.where(acc >= 0.5, depth, 0.0).double()
    unit = max(float(depth.max()), 1e-12) / _DEEPEST
    values = (depth / unit).round().clamp(0, _DEEPEST).numpy().astype(np.uint16)
    facts = {
        "depth_unit": unit,
        "depth_is": "distance along the ray, world units",
        "world_units_in_a_unit_of_the_files": scene_scale,
        "nothing_seen": 0,
    }
    atomic_write_text(path.with_suffix(".json"), json_text(facts, indent=2) + "\n")
    write_png(path, values)


def sheet(rows: Sequence[Sequence[tuple[str, np.ndarray | None]]]) -> Image.Image:
    """Pictures in rows and columns, each under a heading.

    Args:
        rows: (heading, uint8 [H, W, 3]) of each cell; None leaves a cell empty. All cells have the
            size of the largest picture; smaller ones are enlarged without interpolation.
    """
    pictures = [picture for row in rows for _, picture in row if picture is not None]
    width, height = (max(p.shape[axis] for p in pictures) for axis in (1, 0))
    enlarge = -(-_LEAST_WIDTH // width)  # makes room for headings
    width, height = enlarge * width, enlarge * height
    num_columns = max(len(row) for row in rows)
    paper = Image.new(
        "RGB",
        (num_columns * (width + _MARGIN) + _MARGIN, len(rows) * (height + _HEADING) + _MARGIN),
        _PAPER,
    )
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(12)
    for r, row in enumerate(rows):
        top = r * (height + _HEADING)
        for c, (heading, picture) in enumerate(row):
            left = _MARGIN + c * (width + _MARGIN)
            draw.text((left, top + 5), heading, _INK, font)
            if picture is not None:
                size = _fill(picture.shape[1], picture.shape[0], width, height)
                tile = Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)
                paper.paste(tile, (left, top + _HEADING))
    return paper


def _fill(width: int, height: int, room_width: int, room_height: int) -> tuple[int, int]:
    """The greatest size of the same shape that fits."""
    scale = min(room_width / width, room_height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))
