"""Export a trained field for other programs: a point cloud, a mesh, a web page, a nerfstudio run.

python apps/export.py --checkpoint outputs/demo --format pointcloud
python apps/export.py --checkpoint outputs/lego --format mesh --output lego.glb
python apps/export.py --checkpoint outputs/lego --format web --output lego.html
python apps/export.py --checkpoint outputs/lego --format nerfstudio
python apps/export.py --checkpoint outputs/lego/taichi-pynerf-synthetic/2026-01-31_120000 \\
    --format checkpoint --output lego.pth        (a run of ns-train brought back)
"""

import argparse
import os
from pathlib import Path

from taichi_pynerf import convert_to_nerfstudio_format, runtime, save_pyramid_model
from taichi_pynerf.apps.cli import Parser, run, word
from taichi_pynerf.apps.flags.crop import add_crop_flag, crop_from
from taichi_pynerf.apps.flags.page import add_page_flags, export_page, page_options_from
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.errors import ConfigError, SceneError
from taichi_pynerf.export.mesh import MESH_SUFFIXES, extract_mesh, move_back, write_mesh
from taichi_pynerf.export.points import (
    extract_point_cloud,
    rays_of_views,
    rays_through_box,
    write_point_cloud,
)
from taichi_pynerf.export.texture import bake_texture, simplify
from taichi_pynerf.export.web import check_folder
from taichi_pynerf.extras import optional
from taichi_pynerf.files import refuse_links
from taichi_pynerf.runs.nerfstudio_runs import is_nerfstudio_run
from taichi_pynerf.runs.runs import Run, open_run

DEFAULT_NAMES = {
    "pointcloud": "pointcloud.ply",
    "mesh": "mesh.ply",
    "web": "scene.html",
    "nerfstudio": "nerfstudio",
    "checkpoint": "checkpoint.pth",
}
SUFFIXES = {
    "pointcloud": (".ply",),
    "mesh": MESH_SUFFIXES,
    "web": (".html",),
    "checkpoint": (".pth",),
}
ONLY_OF = {  # flags, and the formats that they say something of
    "coordinates": ("pointcloud", "mesh"),
    **dict.fromkeys(("num_points", "min_opacity", "rays", "seed"), ("pointcloud",)),
    **dict.fromkeys(("resolution", "density", "min_faces", "texture"), ("mesh",)),
}
NEEDED = {  # formats, the module that each needs, and the extra that installs it
    "pointcloud": ("plyfile", "export"),
    "mesh": ("trimesh", "export"),
    "nerfstudio": ("nerfstudio.engine.trainer", "nerfstudio"),
}


def build_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="RUN_OR_FILE",
        help="run folder or checkpoint file; also a run of ns-train",
    )
    parser.add_argument(
        "--format", required=True, choices=sorted(DEFAULT_NAMES), help="what to write"
    )
    parser.add_argument(
        "--output",
        help="file to write: .ply, or .obj and .glb for a mesh, .html for the web, .pth for a "
        "checkpoint; for nerfstudio, and with --folder, a folder (pointcloud.ply, mesh.ply, "
        "scene.html, nerfstudio or checkpoint.pth in the run folder)",
    )
    parser.add_argument("--data_dir", help="where the run's scene is now, if it has moved")
    parser.add_argument(
        "--coordinates", choices=("file", "scene"),
        help="those of the scene's files, or those that the model was trained in (file, if the "
        "scene is at hand)",
    )  # fmt: skip
    add_crop_flag(parser)
    runtime.add_backend_flags(parser)

    points = parser.add_argument_group("point cloud")
    points.add_argument("--num_points", type=int, default=300_000, help="points to write")
    points.add_argument(
        "--min_opacity", type=float, default=0.8, help="least opacity of a ray that yields a point"
    )
    points.add_argument(
        "--rays", choices=("views", "box"),
        help="cast rays from the training views, or from all around the scene box (views, if the "
        "scene is at hand)",
    )  # fmt: skip
    points.add_argument("--seed", type=int, default=0, help="seed of the random rays")

    mesh = parser.add_argument_group("mesh")
    mesh.add_argument(
        "--resolution", type=int, default=256, help="samples along the scene box's longest side"
    )
    mesh.add_argument(
        "--density", type=float,
        help="density of the surface, per world unit (the one at which a layer of 3%% of the "
        "box's side lets half of the light through)",
    )  # fmt: skip
    mesh.add_argument(
        "--min_faces", type=int, default=50, help="remove connected parts with fewer triangles"
    )
    mesh.add_argument(
        "--texture", action="store_true",
        help="paint the field's colours on the unwrapped surface, finer than its triangles: .glb",
    )  # fmt: skip
    mesh.add_argument(
        "--max_faces", type=int, default=20_000,
        help="with --texture: simplify the surface to so many triangles before it is unwrapped",
    )  # fmt: skip
    mesh.add_argument("--texture_size", type=int, default=2048, help="side of the texture, texels")
    add_page_flags(parser)
    return parser


def main(argv: list[str]) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.crop and args.format not in ("pointcloud", "mesh"):
        raise ConfigError(f"--crop cuts point clouds and meshes, not --format {args.format}")
    for name, formats in ONLY_OF.items():
        if args.format not in formats and getattr(args, name) != parser.get_default(name):
            raise ConfigError(f"--{name} needs --format {' or '.join(formats)}")
    for name in ("max_faces", "texture_size"):
        if not args.texture and getattr(args, name) != parser.get_default(name):
            raise ConfigError(f"--{name} needs --texture")
    crop_from(args)  # checked before anything is loaded
    page = page_options_from(args)
    if args.texture:
        optional("xatlas", "export")
        optional("fast_simplification", "export")
    if args.format in NEEDED:
        optional(*NEEDED[args.format])
    runtime.start_backend(args)
    opened = open_run(args.checkpoint, args.data_dir, needs_scene=False)
    path = output_path(args, opened)
    at_hand = opened.source is not None and opened.source.is_there()
    if args.data_dir is not None and not at_hand:
        raise SceneError(f"--data_dir {args.data_dir}: no scene is there")
    if args.format == "pointcloud":
        export_point_cloud(args, opened, path, at_hand)
    elif args.format == "mesh":
        export_mesh(args, opened, path, at_hand)
    elif page is not None:
        export_page(args, opened, path, page, at_hand)
    elif args.format == "nerfstudio":
        source = opened.source if at_hand else None
        settings = convert_to_nerfstudio_format(
            opened.model, opened.config, path, source, opened.step
        )
        print(f"look at it with:  ns-viewer --load-config {word(settings)}")
    else:
        scene = None if opened.source is None else opened.source.to_dict()
        save_pyramid_model(opened.model, opened.config, path, scene=scene)
        print(f"checkpoint: {path}")


def export_point_cloud(args: argparse.Namespace, opened: Run, path: Path, at_hand: bool) -> None:
    transform = transform_of(args, opened, at_hand)
    if choose(args, "rays", ("views", "box"), at_hand) == "views":
        # One scale is enough: rays are drawn from the finest images only.
        views = opened.scene.at_full_size().load("train")
        rays = rays_of_views(views, args.seed)
    else:
        rays = rays_through_box(opened.model, args.seed)
    cloud = extract_point_cloud(
        opened.model, rays, args.num_points, args.min_opacity, progress=True,
        crop=crop_from(args),
    )  # fmt: skip
    write_point_cloud(cloud.moved_back(transform), path)
    print(f"{len(cloud)} points: {path}")


def export_mesh(args: argparse.Namespace, opened: Run, path: Path, at_hand: bool) -> None:
    transform = transform_of(args, opened, at_hand)
    mesh = extract_mesh(
        opened.model, args.resolution, args.density, args.min_faces, progress=True,
        crop=crop_from(args),
    )  # fmt: skip
    if args.texture:
        mesh = simplify(opened.model, mesh, args.max_faces)
        print(f"unwrapping {len(mesh.faces)} triangles")
        mesh = bake_texture(opened.model, mesh, args.texture_size, progress=True)
    move_back(mesh, transform)
    offset_path = write_mesh(mesh, path, transform.matrix[:, :3])
    print(f"{len(mesh.vertices)} vertices, {len(mesh.faces)} triangles: {path}")
    if offset_path is not None:
        print(f"its coordinates are too large for 32 bits: add the offset in {offset_path} to them")


def transform_of(args: argparse.Namespace, opened: Run, at_hand: bool) -> SceneTransform:
    """The transform from the requested coordinates to the model's."""
    if choose(args, "coordinates", ("file", "scene"), at_hand) == "scene":
        return SceneTransform()
    return opened.scene.files("train").transform


def output_path(args: argparse.Namespace, opened: Run) -> Path:
    """The file to write, checked before the long work begins."""
    if args.format == "checkpoint" and not is_nerfstudio_run(args.checkpoint):
        raise ConfigError(
            f"{args.checkpoint}: this is a checkpoint already; --format checkpoint is for runs of "
            "nerfstudio"
        )
    default = "mesh.glb" if args.texture else DEFAULT_NAMES[args.format]
    default = "web" if args.folder else default
    path = opened.folder / default
    path = path if args.output is None else Path(args.output)
    if args.folder and args.output is None:
        refuse_links(opened.folder, path)
    known = None if args.folder else SUFFIXES.get(args.format)
    if known is not None and path.suffix.lower() not in known:
        raise ConfigError(f"--output {path}: a {args.format} is written as {', '.join(known)}")
    if args.texture and path.suffix.lower() != ".glb":
        raise ConfigError(f"--output {path}: a mesh with a texture is written as .glb")
    if not path.parent.is_dir():
        raise ConfigError(f"--output {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"--output {path}: the folder {path.parent} cannot be written to")
    if args.folder:
        check_folder(path)
    elif path.is_dir() and args.format in SUFFIXES:
        raise ConfigError(f"--output {path}: this is a folder; give the name of a file")
    return path


def choose(args: argparse.Namespace, name: str, choices: tuple[str, str], at_hand: bool) -> str:
    """A flag's value; by default its first choice, which needs the scene, if that is there."""
    given = getattr(args, name)
    if given is None:
        given = choices[0] if at_hand else choices[1]
        if not at_hand:
            print(f"the run's scene was not found (give --data_dir): using --{name} {given}")
    if given == choices[0] and not at_hand:
        raise SceneError(
            f"{args.checkpoint}: --{name} {given} needs the run's scene: give --data_dir"
        )
    return given


def start() -> None:
    """Run the program; errors that the user can mend are one line each."""
    run(main)


if __name__ == "__main__":
    start()
