"""Render a trained field: images, films and comparisons, with metrics.

python apps/render.py --checkpoint outputs/lego --compute_metrics
python apps/render.py --checkpoint outputs/lego --render_mode video --camera_path zoom
python apps/render.py --compare outputs/pyramid outputs/single --split test
"""

import argparse
import math
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path

import torch

from taichi_pynerf import runtime
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.apps.flags.crop import add_crop_flag, crop_from
from taichi_pynerf.apps.flags.path import add_path_flags, chosen_path, leave_out_close_places
from taichi_pynerf.errors import ConfigError, MissingPackageError
from taichi_pynerf.evaluation.evaluation import MEANINGS, Metric, metrics_for, summarise
from taichi_pynerf.evaluation.lpips import LPIPS, NETS
from taichi_pynerf.extras import optional
from taichi_pynerf.files import atomic_write_text, json_text, refuse_links
from taichi_pynerf.model.images import RenderOptions
from taichi_pynerf.rendering.compare import comparison_strip
from taichi_pynerf.rendering.depth_files import DEPTH_FORMATS
from taichi_pynerf.rendering.folder import Outputs, render_to_folder
from taichi_pynerf.rendering.pictures import read_png, write_png
from taichi_pynerf.rendering.reports import metrics_table, write_reports
from taichi_pynerf.rendering.video import check_fps, video_suffix, write_video
from taichi_pynerf.rendering.view_sets import (
    parse_scale,
    path_depth_range,
    path_views,
    photographed_views,
    scaled_cameras,
    scaled_views,
    sized_views,
    views_of_kind,
)
from taichi_pynerf.runs.runs import Run, open_run
from taichi_pynerf.runs.scene_source import MULTISCALE


def build_parser() -> Parser:
    parser = Parser(description=__doc__)
    what = parser.add_argument_group("what to render")
    what.add_argument("--checkpoint", metavar="RUN_OR_FILE", help="run folder or checkpoint file")
    what.add_argument(
        "--compare",
        nargs="+",
        metavar="RUN_OR_FILE",
        help="compare several runs in strips and a table",
    )
    what.add_argument("--data_dir", help="where the scene is now, if it has moved")
    what.add_argument("--render_mode", choices=("images", "video"), default="images")
    what.add_argument("--split", help="views to render (test, or val, or train)")
    add_path_flags(what)

    how = parser.add_argument_group("how")
    how.add_argument(
        "--scale", nargs="+", metavar="S",
        help="sizes relative to full size: 1, 1/2, 0.25 … (the run's own)",
    )  # fmt: skip
    how.add_argument("--width", type=int, help="width in pixels")
    how.add_argument("--height", type=int, help="height in pixels")
    how.add_argument("--level", default="auto", help="auto, or one pyramid level; 0 is coarsest")
    how.add_argument("--supersample", type=int, default=1, help="K x K rays in each pixel")
    how.add_argument("--chunk_size", type=int, help="rays at once (by the free memory)")
    add_crop_flag(how)
    runtime.add_backend_flags(how)

    out = parser.add_argument_group("output")
    out.add_argument("--output_dir", help="output folder (RUN/renders/…)")
    out.add_argument("--overwrite", action="store_true", help="render again what is already there")
    out.add_argument("--save_depth", action="store_true", help="depth, 16 bits and coloured")
    out.add_argument(
        "--depth_format", choices=DEPTH_FORMATS, default="png",
        help="format of --save_depth: 16 bits, or numbers in the units of the scene's files",
    )  # fmt: skip
    out.add_argument("--save_normals", action="store_true", help="normals of surfaces")
    out.add_argument(
        "--transparent", action="store_true", help="images with alpha, without a background"
    )
    out.add_argument(
        "--exif_exposure", action="store_true",
        help="images as bright as the EXIF exposure of their photographs predicts",
    )  # fmt: skip
    out.add_argument("--save_acc", action="store_true", help="opacity")
    out.add_argument("--save_levels", action="store_true", help="heat map of the pyramid levels")
    out.add_argument("--compute_metrics", action="store_true", help="PSNR, SSIM and LPIPS")
    out.add_argument(
        "--lpips", choices=("auto", "none", *NETS), default="auto",
        help="LPIPS's network; auto is alex, if available",
    )  # fmt: skip
    return parser


def main(argv: list[str]) -> None:
    args = build_parser().parse_args(argv)
    check(args)
    runtime.start_backend(args)
    try:
        if args.compare:
            compare(args)
        elif args.render_mode == "video":
            render_video(args, open_run(args.checkpoint, args.data_dir))
        else:
            render_images(args, open_run(args.checkpoint, args.data_dir))
    except torch.OutOfMemoryError:
        raise ConfigError("out of memory: give a smaller --chunk_size") from None


def check(args: argparse.Namespace) -> None:
    """Refuse contradictory flags before anything is loaded."""
    if bool(args.checkpoint) == bool(args.compare):
        raise ConfigError("give either --checkpoint RUN_OR_FILE or --compare RUN_A RUN_B …")
    video_only = [f"--{name}" for name in ("camera_path", "fps") if getattr(args, name)]
    if args.render_mode == "images" and video_only:
        raise ConfigError(f"{video_only[0]} needs --render_mode video")
    if args.render_mode == "video" and (args.compute_metrics or args.compare):
        raise ConfigError("metrics and --compare need photographs: use --render_mode images")
    if args.scale and (args.width or args.height):
        raise ConfigError("--scale and --width/--height both give the size: choose one of them")
    if (args.width is None) != (args.height is None):
        raise ConfigError("--width and --height belong together")
    if args.render_mode == "images" and args.min_views > 1:
        raise ConfigError("--min_views is for paths away from the photos: use --render_mode video")
    if args.fps is not None:
        check_fps("--fps", args.fps)
    positive = "width", "height", "num_spiral_frames", "supersample", "chunk_size"
    for name in (*positive, "min_views"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise ConfigError(f"--{name} is {value}: it must be above 0")
    if args.render_mode == "video" and args.split:
        raise ConfigError("--split is of images, and a video follows a path: leave it out")
    if args.render_mode == "video" or args.camera_type:
        if args.scale and len(args.scale) > 1:
            raise ConfigError(f"--scale {' '.join(args.scale)}: give one; several are of photos")
        if args.exif_exposure:
            raise ConfigError("--exif_exposure is of photographs: leave it out of other views")
    if args.camera_type and (args.compute_metrics or args.compare):
        raise ConfigError("metrics and --compare need the photographs' cameras, not --camera_type")
    if not 0 < args.eye_distance < math.inf:
        raise ConfigError(f"--eye_distance is {args.eye_distance}: it must be above 0")
    if args.depth_format != "png" and not args.save_depth:
        raise ConfigError(f"--depth_format {args.depth_format} needs --save_depth")
    if args.depth_format == "exr":
        optional("OpenImageIO", "hdr")
    if args.compare and (args.transparent or args.crop or args.exif_exposure):
        raise ConfigError(
            "--compare shows whole views: leave --transparent, --crop and --exif_exposure out"
        )
    if args.crop and args.compute_metrics:
        raise ConfigError("photographs show what --crop leaves out: leave --compute_metrics out")
    if (args.compute_metrics or args.compare) and args.width:
        raise ConfigError("metrics need the photographs' own size: use --scale 1/K")


# ---- the three jobs ----------------------------------------------------------------------------


def render_images(args: argparse.Namespace, opened: Run) -> None:
    if args.exif_exposure and opened.response is None:
        raise ConfigError(
            f"--exif_exposure: {opened.checkpoint} does not know how colours follow EXIF: train "
            "with --color_correction affine on photographs of several exposures"
        )
    split = chosen_split(args, opened)
    folder = output_dir(args, opened, split)
    metrics = chosen_metrics(args, [opened]) if args.compute_metrics else {}
    results = render_split(args, opened, split, folder, metrics)
    print(f"{len(results)} images in {folder}")
    if metrics:
        facts = {"split": split, "steps": opened.step, "level": args.level,
                 "supersample": args.supersample}  # fmt: skip
        if len(told := {name: text for name, text in MEANINGS.items() if name in metrics}) > 1:
            facts["meanings"] = told
        print(write_reports(folder, summarise(results, list(metrics)), facts), end="")


def render_video(args: argparse.Namespace, opened: Run) -> None:
    dataset = opened.scene.load("train", [1])
    path = chosen_path(args, opened, dataset)
    name, fps, cameras, options = path.name, path.fps, path.cameras, render_options(args, opened)
    if options.crop is None and path.crop is not None:
        options = replace(options, crop=path.crop)
    if args.scale:
        cameras = scaled_cameras(cameras, parse_scale(args.scale[0]))
    if args.min_views > 1:
        leave_out_close_places(opened, dataset, args.min_views)
    folder = output_dir(args, opened, name)
    views = path_views(dataset, cameras, "frames", path.background)
    saved = outputs(args, path_depth_range(views, dataset.aabb))
    render_to_folder(
        opened, views, folder, options=options, outputs=saved, overwrite=args.overwrite,
        progress=True,
    )  # fmt: skip

    suffix = video_suffix()
    if suffix != ".mp4":
        print('no H.264 without PyAV (pip install "taichi-pynerf[video]"): writing animated WebP')
    for kind in saved.colored():
        behind = views.background.tolist()
        frames = (read_png(folder / f"{shot.stem}{kind}.png", behind) for shot in views.shots)
        film = folder / f"{name}{kind}{suffix}"
        write_video(film, frames, fps)
        print(f"{len(views.shots)} frames at {fps:g} a second: {film}")


def compare(args: argparse.Namespace) -> None:
    """Render each run, then write strips that compare them, and a table."""
    opened = [open_run(path, args.data_dir) for path in args.compare]
    names = distinct_names(opened)
    source, split = opened[0].scene, chosen_split(args, opened[0])
    for one in opened[1:]:
        if not source.same_images(one.scene, split):
            raise ConfigError(
                f"{one.checkpoint} is of other images, or of other coordinates of their scene, "
                f"than {opened[0].checkpoint}"
            )
    folder = Path(args.output_dir or "outputs/compare")
    metrics = chosen_metrics(args, opened)
    scales = chosen_scales(args, opened[0])
    views = photographed_views(source, split, scales)
    summaries = {}
    for name, one in zip(names, opened, strict=True):
        print(f"{name}: {one.checkpoint}")
        results = render_to_folder(
            one, views, folder / name, options=render_options(args, one), outputs=outputs(args),
            metrics=metrics, overwrite=args.overwrite, progress=True,
        )  # fmt: skip
        summaries[name] = summarise(results, list(metrics))
    for shot in views.shots:
        renders = {
            name: torch.from_numpy(read_png(folder / name / f"{shot.stem}.png")) / 255
            for name in names
        }
        assert shot.truth is not None  # these are photographed views
        strip = folder / "strips" / f"{shot.stem}.png"
        strip.parent.mkdir(parents=True, exist_ok=True)
        write_png(strip, comparison_strip(shot.truth()[0], renders))
    table = metrics_table(summaries)
    atomic_write_text(folder / "comparison.md", table)
    atomic_write_text(folder / "comparison.json", json_text(summaries, indent=2) + "\n")
    print(f"{len(views.shots)} strips in {folder / 'strips'}\n{table}", end="")


# ---- values of the flags -----------------------------------------------------------------------


def render_split(
    args: argparse.Namespace, opened: Run, split: str, folder: Path, metrics: dict
) -> list[dict]:
    size = (args.width, args.height) if args.width else None
    if args.camera_type:
        source = opened.scene
        views = views_of_kind(source, split, args.camera_type, size, args.eye_distance)
        if args.scale:
            scale = parse_scale(args.scale[0])
            views = replace(views, cameras=scaled_cameras(views.cameras, scale))
    elif args.width:
        views = sized_views(opened.scene, split, args.width, args.height)
    else:
        kind = photographed_views if metrics else scaled_views
        views = kind(opened.scene, split, chosen_scales(args, opened))
    return render_to_folder(
        opened, views, folder, options=render_options(args, opened), outputs=outputs(args),
        metrics=metrics, overwrite=args.overwrite, progress=True,
    )  # fmt: skip


def chosen_split(args: argparse.Namespace, opened: Run) -> str:
    """--split, or the first of test, val and train that the scene has."""
    splits, posed = (opened.scene.splits(with_images=images) for images in (True, False))
    if args.split is None:
        return next((split for split in ("test", "val", "train") if split in splits), splits[0])
    if args.split not in splits + posed:
        raise ConfigError(f"--split {args.split}: the scene has {', '.join(splits + posed)}")
    if args.split in posed and (args.compute_metrics or args.compare):
        raise ConfigError(
            f"--split {args.split}: these are poses without images, and there is nothing to "
            "compare with: leave --compute_metrics out"
        )
    return args.split


def chosen_scales(args: argparse.Namespace, opened: Run) -> list[Fraction]:
    """--scale, or the scales that the run was trained at."""
    if args.scale:
        scales = [parse_scale(text) for text in args.scale]
        return list(dict.fromkeys(scales))
    return [Fraction(1, k) for k in (MULTISCALE if opened.scene.multiscale else (1,))]


def chosen_metrics(args: argparse.Namespace, runs: list[Run]) -> dict:
    """Those of the runs, and LPIPS if available; if its network was named, it is required."""
    metrics: dict[str, Metric] = {}
    for one in runs:
        metrics |= metrics_for(one.config, one.response if len(runs) == 1 else None)
    if args.lpips != "none":
        try:
            lpips = LPIPS("alex" if args.lpips == "auto" else args.lpips)
            metrics[lpips.name] = lpips
        except MissingPackageError as error:
            if args.lpips != "auto":
                raise
            print(f"LPIPS is left out: {error}")
    return metrics


def render_options(args: argparse.Namespace, opened: Run) -> RenderOptions:
    level = None
    if args.level != "auto":
        num_levels = len(opened.model.field.resolutions)
        level = float(args.level) if args.level.replace(".", "", 1).isdigit() else -1.0
        if not 0 <= level <= num_levels - 1:
            raise ConfigError(f"--level {args.level}: give auto, or 0 to {num_levels - 1}")
    return RenderOptions(level, args.supersample, chunk_size=args.chunk_size, crop=crop_from(args))


def outputs(args: argparse.Namespace, depth_range: tuple[float, float] | None = None) -> Outputs:
    return Outputs(
        args.save_depth, args.save_acc, args.save_levels, depth_range, args.depth_format,
        args.save_normals, args.transparent, args.exif_exposure,
    )  # fmt: skip


def output_dir(args: argparse.Namespace, opened: Run, name: str) -> Path:
    """--output_dir, or a subfolder of the run's, named after what is rendered."""
    if args.output_dir:
        return Path(args.output_dir)
    name += f"_{args.camera_type}" if args.camera_type else ""
    name += f"_level{args.level}" if args.level != "auto" else ""
    name += "_exif_exposure" if args.exif_exposure else ""
    name += f"_min_views{args.min_views}" if args.min_views > 1 else ""
    name += f"_supersampled{args.supersample}" if args.supersample > 1 else ""
    folder = opened.folder / "renders" / name
    refuse_links(opened.folder, folder)
    return folder


def distinct_names(opened: list[Run]) -> list[str]:
    """The runs' names, numbered where two are the same."""
    names = [one.name for one in opened]
    found: list[str] = []
    for name in names:
        numbered = (f"{name}_{i}" for i in count(1))
        if names.count(name) > 1:
            name = next(choice for choice in numbered if choice not in (*names, *found))
        found.append(name)
    return found


def start() -> None:
    """Run the program; errors that the user can mend are one line each."""
    run(main)


if __name__ == "__main__":
    start()
