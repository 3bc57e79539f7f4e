"""Look at a trained run: fly around, see depth, pyramid levels and errors.

python apps/view.py --checkpoint outputs/demo         in a window
python apps/view.py --checkpoint outputs/demo --web   in the browser
"""

import sys
from functools import partial
from pathlib import Path

from taichi_pynerf import runtime
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.apps.flags.crop import add_crop_flag, crop_from
from taichi_pynerf.apps.flags.web import (
    add_web_flags,
    audience_of,
    check_web_flags,
    view_in_browser,
)
from taichi_pynerf.errors import ConfigError, SceneError
from taichi_pynerf.runs.runs import open_run
from taichi_pynerf.viewer.ggui.display import require_display
from taichi_pynerf.viewer.ggui.window import Window
from taichi_pynerf.viewer.live import view_until_closed
from taichi_pynerf.viewer.viewer import Viewer

SIZE = {"width": 640, "height": 480}


def build_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument(
        "--checkpoint", required=True, metavar="RUN_OR_FILE", help="run folder or checkpoint file"
    )
    parser.add_argument("--data_dir", help="the run's scene folder, if it has moved")
    parser.add_argument(
        "--output_dir", help="where pictures and camera paths go (the run's folder)"
    )
    for name, pixels in SIZE.items():
        parser.add_argument(
            f"--{name}", type=int, help=f"{name} of the window's picture, pixels ({pixels})"
        )
    add_crop_flag(parser)
    add_web_flags(parser, "show it in the browser instead of a window")
    runtime.add_backend_flags(parser)
    return parser


def main(argv: list[str]) -> None:
    args = build_parser().parse_args(argv)
    for name, pixels in SIZE.items():
        given = getattr(args, name)
        if given is None:
            setattr(args, name, pixels)
        elif args.web:
            raise ConfigError(f"--{name} is of the window: leave it out with --web")
        elif not 64 <= given <= 8192:
            raise ConfigError(f"--{name} is {given}: give 64 to 8192 pixels")
    crop = crop_from(args)
    check_web_flags(args)
    if not args.web:
        require_display()
    runtime.start_backend(args)
    opened = open_run(args.checkpoint, args.data_dir)
    try:
        dataset = opened.scene.at_full_size().load("train")
    except SceneError as error:
        print(f"without training cameras: {error}", file=sys.stderr)
        dataset = None
    title = f"taichi_pynerf: {opened.name}"
    output_dir = Path(args.output_dir) if args.output_dir else opened.folder
    make_viewer = partial(Viewer, opened.model, dataset, output_dir, crop=crop)
    if args.web:
        view_in_browser(audience_of(args, title, make_viewer, opened.source))
    else:
        view_until_closed(make_viewer(), Window(title, args.width, args.height))


def start() -> None:
    """Run the program; errors that the user can mend are one line each."""
    run(main)


if __name__ == "__main__":
    start()
