"""The flag of command-line programs that cuts a scene by a box."""

from __future__ import annotations

import argparse

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.rendering.crop_files import read_crop


def add_crop_flag(group: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add --crop to a parser or a group of it."""
    group.add_argument(
        "--crop", nargs="+", metavar="X0 Y0 Z0 X1 Y1 Z1",
        help="leave out what is outside of a box, in the scene's coordinates: six numbers, or a "
        "JSON file with a box of any orientation (crop_center, crop_scale, crop_rot)",
    )  # fmt: skip


def crop_from(args: argparse.Namespace) -> CropBox | None:
    """The box of --crop, or None.

    Raises:
        ConfigError: it is neither six numbers nor a file.
        SceneError: the file holds no box.
    """
    if args.crop is None:
        return None
    if len(args.crop) == 1:
        return read_crop(args.crop[0])
    try:
        return CropBox.from_aabb(tuple(map(float, args.crop)))
    except ValueError:
        raise ConfigError(
            f"--crop {' '.join(args.crop)}: give X0 Y0 Z0 X1 Y1 Z1 with X0 < X1 …, or a JSON file"
        ) from None
