"""The flags for placing and reading a scene."""

from __future__ import annotations

import argparse

from taichi_pynerf.data.placement import CENTERS, ORIENTATIONS, Placement
from taichi_pynerf.errors import ConfigError

MAX_STOPS = 24

NAMES = (
    "orientation",
    "center",
    "auto_scale",
    "scene_scale",
    "aabb",
    "allow_external_paths",
    "exposure",
    "holdout",
    "colmap_path",
)
"""Names of all flags here, as in argparse; None means not given."""


def add_placement_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags to a group of a parser."""
    group.add_argument(
        "--orientation", choices=ORIENTATIONS, help="how to find the way up (as the format does)"
    )
    group.add_argument("--center", choices=CENTERS, help="choice of origin (as the format does)")
    group.add_argument(
        "--auto_scale",
        action=argparse.BooleanOptionalAction,
        help="scale the cameras' positions into [-1, 1] (as the format does)",
    )
    group.add_argument("--scene_scale", type=float, help="half the side of the scene box")
    group.add_argument(
        "--aabb", type=float, nargs=6, metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        help="corners of the scene box",
    )  # fmt: skip
    group.add_argument(
        "--allow_external_paths",
        action="store_true",
        default=None,
        help="allow files outside the scene folder",
    )
    group.add_argument(
        "--holdout", type=int, metavar="N",
        help="hold out every Nth image for testing, 0 for none (the scene's own splits)",
    )  # fmt: skip
    group.add_argument(
        "--colmap_path", metavar="FOLDER",
        help="COLMAP's sparse model to take, relative to the scene folder (the largest)",
    )  # fmt: skip
    group.add_argument(
        "--exposure", type=float,
        help="brighten OpenEXR and Radiance HDR images by so many stops, before sRGB's curve (0)",
    )  # fmt: skip


def holdout_of(args: argparse.Namespace) -> int | None:
    """--holdout.

    Raises:
        ConfigError: it is negative, or holds out everything.
    """
    if args.holdout is not None and (args.holdout < 0 or args.holdout == 1):
        raise ConfigError(
            f"--holdout is {args.holdout}: give 0 to hold out no image, or N of 2 and more to hold "
            "out every Nth"
        )
    return args.holdout


def exposure_of(args: argparse.Namespace) -> float:
    """--exposure, in stops.

    Raises:
        ConfigError: it is not from -`MAX_STOPS` to `MAX_STOPS`.
    """
    exposure = 0.0 if args.exposure is None else args.exposure
    if not abs(exposure) <= MAX_STOPS:
        raise ConfigError(f"--exposure is {exposure:g}: give -{MAX_STOPS} to {MAX_STOPS} stops")
    return exposure


def placement_of(args: argparse.Namespace) -> Placement:
    """The placement that the flags ask for.

    Raises:
        SceneError: a value is out of its range.
    """
    return Placement(
        orientation=args.orientation,
        center=args.center,
        auto_scale=args.auto_scale,
        scene_scale=args.scene_scale,
        aabb=None if args.aabb is None else tuple(args.aabb),
    )
