"""Find the camera poses of photos or a video, and write a scene folder that trains.

OUT gets images/ and transforms.json, nerfstudio's layout. docs/your_own_photos.md has more.
Needs pip install "taichi-pynerf[colmap]", and for videos "taichi-pynerf[colmap,video]".
"""

import argparse
from pathlib import Path

from taichi_pynerf.apps.cli import Parser, run


def share(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, not {text}")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return value


def build_parser() -> Parser:
    from taichi_pynerf.data.authoring.structure_from_motion import CAMERA_MODELS, MATCHINGS

    parser = Parser(description=__doc__)
    parser.add_argument(
        "source", metavar="DIR_OR_VIDEO", type=Path, nargs="+",
        help="folder of photos or a video, or several of them that show one scene",
    )  # fmt: skip
    parser.add_argument("out_dir", metavar="OUT", type=Path, help="new or empty folder")
    parser.add_argument(
        "--masks", type=Path, metavar="DIR",
        help="folder of masks named like the photos; black pixels are not matched or trained on",
    )  # fmt: skip
    parser.add_argument(
        "--held_out", type=Path, metavar="DIR_OR_VIDEO",
        help="one of the sources, to be used for testing only",
    )  # fmt: skip
    parser.add_argument(
        "--num_frames", type=count, default=150,
        help="number of frames to take of all videos together; the sharpest are taken",
    )  # fmt: skip
    parser.add_argument(
        "--matching",
        choices=MATCHINGS,
        help="compare all pairs of photos, or only neighbours by name, which is quicker "
        "(default: sequential for one video, else exhaustive)",
    )
    parser.add_argument(
        "--camera_model",
        choices=CAMERA_MODELS,
        default="OPENCV",
        help="lens model, in COLMAP's terms; one with fewer parameters needs fewer photos",
    )
    parser.add_argument(
        "--feature_size",
        type=count,
        default=1600,
        help="length of the longer side, in pixels, at which features are detected",
    )
    parser.add_argument(
        "--min_registered",
        type=share,
        default=0.5,
        help="least share of the photos that must get a pose (and at least 3 photos)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an older result in OUT")
    return parser


def main(argv: list[str] | None = None) -> None:
    from taichi_pynerf.data.authoring.photos_to_scene import photos_to_scene

    arguments = build_parser().parse_args(argv)
    print(photos_to_scene(**vars(arguments)))
    print(arguments.out_dir)


def start() -> None:
    """Run the program; errors that the user can mend are one line each."""
    run(main)


if __name__ == "__main__":
    start()
