"""Render a built-in demo scene in NeRF-synthetic ("Blender") layout, or the still life in an
unbounded landscape in nerfstudio's."""

from pathlib import Path

from taichi_pynerf import runtime
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.demo.scene import (
    SCENES,
    STILL_LIFE,
    DemoSceneSettings,
    demo_scene_dir,
    make_demo_scene,
)
from taichi_pynerf.demo.unbounded import DISTANCES, make_unbounded_demo


def build_parser() -> Parser:
    defaults = DemoSceneSettings()
    parser = Parser(description=__doc__)
    parser.add_argument(
        "--scene",
        choices=SCENES,
        default=STILL_LIFE,
        metavar="NAME",
        help="; ".join(f"{name}: {scene.contents}" for name, scene in SCENES.items()),
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        help="new or empty folder for the scene (default: the cache, where training without "
        "--data_dir finds the still life)",
    )
    parser.add_argument(
        "--resolution",
        type=int,
        default=defaults.resolution,
        help="pixels along each side, a multiple of 8",
    )
    parser.add_argument("--num_train", type=int, default=defaults.num_train, help="training views")
    parser.add_argument("--num_val", type=int, default=defaults.num_val, help="validation views")
    parser.add_argument("--num_test", type=int, default=defaults.num_test, help="test views")
    parser.add_argument(
        "--distances",
        type=float,
        nargs="+",
        help="camera distances in world units, 1.8 to 50, used in turn; the scene's radius is 1.4 "
        f"(default: {numbers(defaults.distances)}; with --unbounded {numbers(DISTANCES)})",
    )
    parser.add_argument(
        "--samples_per_pixel",
        type=int,
        default=defaults.samples_per_pixel,
        help="jittered samples per pixel, a square number",
    )
    parser.add_argument(
        "--seed", type=int, default=defaults.seed, help="seed of camera placement and jitter"
    )
    parser.add_argument(
        "--unbounded",
        action="store_true",
        help="put the still life in an unbounded landscape and write nerfstudio's layout, with "
        "opaque images (needs --output_dir)",
    )
    parser.add_argument(
        "--exposure_stops",
        type=float,
        default=0.0,
        help="with --unbounded: exposures differ by up to so many stops to either side, and white "
        "balances by a quarter of that (0)",
    )
    parser.add_argument(
        "--depth", action="store_true", help="with --unbounded: write depth images too"
    )
    return parser


def numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def main(argv: list[str]) -> None:
    parser = build_parser()
    settings = vars(parser.parse_args(argv))
    output_dir, unbounded = settings.pop("output_dir"), settings.pop("unbounded")
    if unbounded and settings["scene"] != STILL_LIFE:
        parser.error(f"--unbounded is of the scene {STILL_LIFE} alone, not of {settings['scene']}")
    if unbounded and output_dir is None:
        parser.error("--unbounded needs --output_dir")
    extras = {name: settings.pop(name) for name in ("exposure_stops", "depth")}
    if any(extras.values()) and not unbounded:
        parser.error("--exposure_stops and --depth need --unbounded")
    if settings["distances"] is None:
        settings["distances"] = DISTANCES if unbounded else DemoSceneSettings.distances
    runtime.start("cpu")
    if unbounded:
        del settings["scene"]
        print(make_unbounded_demo(output_dir, DemoSceneSettings(**settings), **extras))
    elif output_dir is None:
        print(demo_scene_dir(**settings))
    else:
        print(make_demo_scene(output_dir, **settings))


def start() -> None:
    """Run the program; errors that the user can mend are one line each."""
    run(main)


if __name__ == "__main__":
    start()
