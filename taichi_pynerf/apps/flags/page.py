"""The flags of `--format web`, and what they start."""

import argparse
import math
from pathlib import Path

from taichi_pynerf.apps.cli import Parser
from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export.web import PageOptions, check_can_export, write_web_scene
from taichi_pynerf.export.web.measure import psnr_of_views, spread_views
from taichi_pynerf.runs.runs import Run

KILOBYTE, MEGABYTE = 10**3, 10**6


def add_page_flags(parser: Parser) -> None:
    web = parser.add_argument_group("web page")
    web.add_argument(
        "--max_megabytes", type=float, metavar="MB",
        help="leave out the finest levels until the page is no larger: a coarser scene",
    )  # fmt: skip
    web.add_argument(
        "--table_bits", type=int, choices=(8, 16), help="bits of a number in the hash grid (8)"
    )
    web.add_argument(
        "--folder", action="store_true",
        help="write files beside each other, which the page loads level by level, for large scenes "
        "on a web server",
    )  # fmt: skip
    web.add_argument("--title", help="of the page (the run's name)")


def page_options_from(args: argparse.Namespace) -> PageOptions | None:
    """What the flags say; None with other formats.

    Raises:
        ConfigError: a flag of the page with another format, or a bad value.
    """
    given = {"max_megabytes": args.max_megabytes, "table_bits": args.table_bits,
             "folder": args.folder or None, "title": args.title}  # fmt: skip
    if args.format != "web":
        for name, value in given.items():
            if value is not None:
                raise ConfigError(f"--{name} is of a web page: --format web")
        return None
    return PageOptions(args.title or "", args.table_bits or 8, args.max_megabytes, args.folder)


def export_page(
    args: argparse.Namespace, opened: Run, path: Path, options: PageOptions, at_hand: bool
) -> None:
    """Write the page, and say how large it is and what quantisation costs."""
    check_can_export(opened.model)
    title = options.title or opened.name
    views = opened.scene.views("train") if at_hand else None
    if not at_hand:
        print("the run's scene was not found (give --data_dir): the page has no training views")
    written = write_web_scene(opened.model, path, options.titled(title), views)
    size = written.num_bytes
    unit, name = (MEGABYTE, "MB") if size >= MEGABYTE else (KILOBYTE, "kB")
    print(f"{size / unit:.2f} {name}: {written.path}")
    if not at_hand:
        return
    split = next(s for s in ("test", "val", "train") if s in opened.scene.splits())
    dataset: Dataset = opened.scene.at_full_size().load(split)
    indices = spread_views(dataset)
    before = psnr_of_views(opened.model, dataset, indices, f"{split}, as trained")
    after = psnr_of_views(written.quantised.model, dataset, indices, f"{split}, the page's")
    if math.isnan(before):
        return  # the masks leave nothing to compare, which was said
    print(
        f"PSNR of {len(indices)} {split} views: {before:.2f} dB as trained, {after:.2f} dB in the "
        f"page ({after - before:+.2f})"
    )
