"""Report what is in a folder and what of it is read as a scene, and draw the scene's cameras, box
and images. For a folder that is not a scene, it says what is missing.

The picture shows whether the poses make sense: cameras should stand around what they show, with the
thick top edge of their images up, and none should be red.
"""

from pathlib import Path

from taichi_pynerf.apps.cli import Parser, run


def build_parser() -> Parser:
    from taichi_pynerf.apps.flags.scene import add_placement_flags
    from taichi_pynerf.data.locating import FORMATS

    parser = Parser(description=__doc__)
    parser.add_argument("data_dir", metavar="DIR", type=Path, help="the scene folder")
    parser.add_argument("--dataset_type", choices=FORMATS, help="its format (detected)")
    parser.add_argument(
        "--output", type=Path, default=Path("scene.png"), help="picture file to write"
    )
    add_placement_flags(parser.add_argument_group("placement of the scene in its coordinates"))
    return parser


def main(argv: list[str] | None = None) -> None:
    from taichi_pynerf.apps.flags.scene import exposure_of, holdout_of, placement_of
    from taichi_pynerf.data.authoring.folder_report import found_lines
    from taichi_pynerf.data.authoring.inspection import inspect_scene
    from taichi_pynerf.data.authoring.scene_drawing import draw_scene
    from taichi_pynerf.data.locating import locate_scene, probe_formats
    from taichi_pynerf.data.scene_files import LoadOptions
    from taichi_pynerf.files import atomic_write

    args = build_parser().parse_args(argv)
    options = LoadOptions(
        placement=placement_of(args),
        allow_external_paths=bool(args.allow_external_paths),
        holdout=holdout_of(args),
        exposure=exposure_of(args),
        colmap_path=args.colmap_path,
    )
    folder = args.data_dir
    if not folder.is_dir():  # a file stands for its folder, or is an error
        folder = locate_scene(args.data_dir, args.dataset_type)[0]
        folder = folder if folder.is_dir() else folder.parent
    if folder.is_dir():  # otherwise reading gives the error
        for line in found_lines(folder, probe_formats(folder)):
            print(line)
    inspection = inspect_scene(args.data_dir, args.dataset_type, options)
    for line in inspection.contents():
        print(line)
    print(inspection.summary())
    for warning in inspection.warnings():
        print(f"warning: {warning}")
    with atomic_write(args.output) as file:
        draw_scene(inspection).save(file, format="PNG")
    print(f"{args.output}: cameras, scene box and images")


def start() -> None:
    """Run the program; errors that the user can mend are one line each."""
    run(main)


if __name__ == "__main__":
    start()
