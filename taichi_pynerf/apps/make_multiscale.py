"""Convert a NeRF-synthetic ("Blender") scene into Mip-NeRF's multi-scale layout.

Writes OUT/metadata.json and OUT/images_<split>/NNN_d<j>.png: every view at several sizes,
each half as wide as the one before.
"""

from pathlib import Path

from taichi_pynerf.apps.cli import Parser, run


def build_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("data_dir", metavar="IN", type=Path, help="folder of the Blender scene")
    parser.add_argument("out_dir", metavar="OUT", type=Path, help="new or empty folder")
    parser.add_argument(
        "--num_scales",
        type=int,
        choices=range(1, 9),
        default=4,
        help="number of sizes of each view",
    )
    parser.add_argument(
        "--as_published",
        action="store_true",
        help="average straight colours and truncate, as Mip-NeRF's converter does, for figures on "
        "exactly its pixels; by default premultiplied pixels are averaged, which is right at "
        "outlines",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an older result in OUT")
    parser.add_argument(
        "--allow_external_paths",
        action="store_true",
        help="allow images outside the scene folder",
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    from taichi_pynerf.data.authoring.multiscale_writer import write_multiscale

    print(write_multiscale(**vars(build_parser().parse_args(argv))))


def start() -> None:
    """Run the program; errors that the user can mend are one line each."""
    run(main)


if __name__ == "__main__":
    start()
