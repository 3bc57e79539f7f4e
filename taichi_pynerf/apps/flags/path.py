"""Flags of `apps/render.py` that say along which path to film, and what to leave out on it."""

import argparse
from dataclasses import replace

from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.data.training_images import SightedImages
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.rendering.camera_kinds import (
    CAMERA_KINDS,
    EYE_DISTANCE,
    cameras_of_kind,
    usual_size,
    vertical_angles,
)
from taichi_pynerf.rendering.camera_path_files import (
    FPS,
    CameraPath,
    PathScene,
    read_camera_path,
    unit_cube_of,
)
from taichi_pynerf.rendering.camera_paths import PATHS, camera_path, path_cameras, resized_cameras
from taichi_pynerf.rendering.view_sets import box_center
from taichi_pynerf.runs.runs import Run
from taichi_pynerf.training.carving import close_to_cameras


def add_path_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags to a group of a parser's arguments."""
    group.add_argument(
        "--camera_path", metavar="PATH_OR_FILE",
        help=f"path of a video: {', '.join(PATHS)}, or a file: nerfstudio's camera_path.json, "
        "instant-ngp's camera path, or a transforms.json with poses to render (spiral)",
    )  # fmt: skip
    group.add_argument(
        "--camera_type", choices=CAMERA_KINDS,
        help="another kind of camera than the scene's or the path's (vr180: one per eye)",
    )  # fmt: skip
    group.add_argument(
        "--eye_distance", type=float, default=EYE_DISTANCE,
        help="distance between the eyes of vr180, in the units of the scene's files",
    )  # fmt: skip
    group.add_argument("--num_spiral_frames", type=int, default=120, help="frames of any path")
    group.add_argument("--fps", type=float, help=f"frames per second ({FPS:g}, or the file's)")
    group.add_argument(
        "--min_views", type=int, default=1, metavar="N",
        help="what is close to a photo's camera is drawn if N photos see it (video; 1: all is)",
    )  # fmt: skip


def chosen_path(args: argparse.Namespace, opened: Run, dataset: Dataset) -> CameraPath:
    """The path that the flags ask for, through a dataset's scene."""
    kind, like, center = args.camera_type, dataset.cameras, box_center(dataset.aabb)
    eyes = args.eye_distance * dataset.transform.scale
    name = args.camera_path or "spiral"
    if name not in PATHS:
        cube = unit_cube_of(opened.scene.folder())
        scene = PathScene(like, dataset.transform, center, cube, args.num_spiral_frames, eyes)
        path = read_camera_path(name, scene, kind)
        path = replace(path, fps=args.fps or path.fps)
        if args.width:
            eyes_beside = 1 if path.cameras.eye_distance is None else 2  # --width is of one eye
            cameras = resized_cameras(path.cameras, eyes_beside * args.width, args.height)
            path = replace(path, cameras=cameras)
        return path
    poses = camera_path(name, like.c2w, args.num_spiral_frames)
    width, height = args.width, args.height
    if not width:
        width, height = usual_size(kind or "", int(like.width[0]), int(like.height[0]))
    if kind is None:
        cameras = path_cameras(like, poses, width, height)
    else:
        angles = vertical_angles(like)[:1].expand(len(poses))
        cameras = cameras_of_kind(kind, poses, angles, width, height, eyes, center)
    return CameraPath(cameras, args.fps or FPS, name=name)


def leave_out_close_places(opened: Run, dataset: SightedImages, min_views: int) -> None:
    """Draw what is close to a photo's camera only where enough photos see it."""
    model = opened.model
    ruled_out, where = model.field.ruled_out, opened.scene.folder()
    cells = None
    if model.config.unbounded:
        cells = close_to_cameras(dataset, model.renderer.box, ruled_out.resolution, min_views)
    if cells is None:
        raise ConfigError(
            f"--min_views {min_views}: {where} has no sparse points that tell from where on its "
            "photos show something: leave it out"
        )
    ruled_out.rule_out(cells)
