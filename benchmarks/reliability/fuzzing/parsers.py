"""The parsers that are fuzzed, each with a good file to begin from, made by the tests' writers."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
import torch
from PIL import Image

from benchmarks.reliability.children import ROOT
from taichi_pynerf.data import load_split, loading
from taichi_pynerf.data.formats.sparse_points import read_ply_points
from taichi_pynerf.data.images import decode_image
from taichi_pynerf.data.scene import Scene
from taichi_pynerf.data.scene_files import warn_once
from taichi_pynerf.errors import UserError
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.rendering.camera_path_files import PathScene, read_camera_path
from taichi_pynerf.rendering.crop_files import read_crop
from taichi_pynerf.runs.checkpoint import config_of, read_checkpoint
from taichi_pynerf.training.log import read_log

sys.path.insert(0, str(ROOT / "tests"))
import colmap_makers
import format_makers
import program_makers
import scene_makers

VIEWS = 5
MOST_LETTERS = 900  # of a message
# {parser: (format, the file of the scene that is fuzzed)}
SCENES = {
    "transforms": ("nerfstudio", "transforms.json"),
    "blender": ("blender", "transforms_train.json"),
    "poses_bounds": ("llff", "poses_bounds.npy"),
    "metadata": ("multiscale-blender", "metadata.json"),
    "reconstruction": ("opensfm", "reconstruction.json"),
    "cameras_xml": ("metashape", "cameras.xml"),
    "cameras_csv": ("realitycapture", "cameras.csv"),
    "trajectories": ("kapture", "sensors/trajectories.txt"),
    "kapture_sensors": ("kapture", "sensors/sensors.txt"),
    "kapture_records": ("kapture", "sensors/records_camera.txt"),
    "record3d": ("record3d", "metadata.json"),
    "polycam": ("polycam", "keyframes/cameras/view_01.json"),
    "pose": ("pose-files", "pose/0_000.txt"),
    "intrinsics": ("pose-files", "intrinsics.txt"),
    "bbox": ("pose-files", "bbox.txt"),
    "meta_data": ("sdfstudio", "meta_data.json"),
    "scanner_app": ("scanner-app", "frame_00001.json"),
    "arkit_poses": ("arkitscenes", "scene_frames/lowres_wide.traj"),
    "arkit_lens": ("arkitscenes", "scene_frames/lowres_wide_intrinsics/7_10.101.pincam"),
    "cameras_npz": ("neus", "cameras_sphere.npz"),
    "colmap_cameras": ("colmap", "sparse/0/cameras.bin"),
    "colmap_images": ("colmap", "sparse/0/images.bin"),
    "colmap_points": ("colmap", "sparse/0/points3D.bin"),
    "colmap_text": ("colmap text", "sparse/0/images.txt"),
}
FILES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "ply": ("points.ply", read_ply_points),
    "camera_path": ("path.json", lambda path: read_camera_path(path, PathScene(num_frames=4))),
    "crop": ("crop.json", read_crop),
    "image": ("image.png", decode_image),
    "jpeg": ("image.jpg", decode_image),
    "tiff": ("image.tif", decode_image),
    "checkpoint": ("checkpoint.pth", lambda path: config_of(read_checkpoint(path), path)),
    "log": ("log.jsonl", read_log),
}
PARSERS = (*SCENES, *FILES)


@dataclass(frozen=True)
class Parser:
    """A parser with a file for it.

    Attributes:
        path: its file, good at first.
        folder: what messages may name in place of the file.
        read: reads the file.
    """

    path: Path
    folder: Path
    read: Callable[[], object]

    def fault(self) -> tuple[str, str] | None:
        """Read the file. What is wrong with its answer, as a kind and words; None if nothing is.

        Raises:
            Exception: whatever the parser raises that is not an error of the project's own.
        """
        loading._descriptions.clear()  # files of the same size come more often than clocks tick
        warn_once.cache_clear()
        try:
            unsound = _unsound(self.read())
            return None if unsound is None else ("unsound values", unsound)
        except UserError as error:
            message = str(error)
        if "\n" in message or len(message) > MOST_LETTERS:
            return "no short line", message
        if not any(str(place) in message for place in (self.path.name, self.folder)):
            return "no name of the file", message
        try:
            message.encode()
        except UnicodeEncodeError:
            return "letters that cannot be printed", message
        return None


def parser_in(folder: Path, name: str) -> Parser:
    """A parser, ready for use.

    Args:
        folder: where its good file, and the rest of a scene, are written.
    """
    if name in FILES:
        file, read = FILES[name]
        path = folder / file
        folder.mkdir(exist_ok=True)
        path.write_bytes(_good_file(name))
        return Parser(path, path, lambda: read(path))
    kind, file = SCENES[name]
    folder.mkdir(exist_ok=True)
    scene, kind = _good_scene(kind, folder), kind.split()[0]
    return Parser(scene / file, scene, lambda: load_split(scene, "train", dataset_type=kind))


def _unsound(result: object) -> str | None:
    """What is wrong with values that were read; None if nothing is."""
    cameras = getattr(result, "cameras", None)
    if cameras is not None:
        for part in ("c2w", "fx", "fy", "cx", "cy"):
            if not getattr(cameras, part).isfinite().all():
                return f"{part} is not finite"
        if not ((cameras.fx > 0) & (cameras.fy > 0)).all():
            return "a focal length is not positive"
    if isinstance(result, Scene):
        if not 0.0 < result.near < result.far < np.inf:
            return f"near {result.near} and far {result.far}"
        if not all(a < b < np.inf for a, b in zip(result.aabb[:3], result.aabb[3:], strict=True)):
            return f"a box {result.aabb}"
    if isinstance(result, CropBox):
        good = min(result.size) > 0 and np.isfinite(result.around()).all()
        return None if good else f"a crop {result}"
    if isinstance(result, np.ndarray) and not np.isfinite(result).all():
        return "an array that is not finite"
    return None


def _good_scene(kind: str, folder: Path) -> Path:
    poses = format_makers.circle_poses(VIEWS)
    if kind in program_makers.WRITERS:
        return program_makers.WRITERS[kind](folder / "scene", poses)
    if kind in program_makers.BENCHMARKS:
        return program_makers.BENCHMARKS[kind](folder / "scene", poses)
    if kind.startswith("colmap"):
        return _good_model(folder / "scene", poses, kind == "colmap")
    if kind == "nerfstudio":
        transforms = format_makers.nerfstudio_transforms(poses, width=6, height=8)
        return format_makers.write_nerfstudio_scene(folder / "scene", transforms)
    if kind == "blender":
        return scene_makers.write_blender_scene(folder / "scene")
    if kind == "llff":
        return format_makers.write_llff_scene(folder, format_makers.forward_poses(9), 8, 6, 10.0)
    columns = format_makers.multiscale_metadata(poses[:2], "train")
    sizes = zip(columns["file_path"], columns["width"], columns["height"], strict=True)
    for file, width, height in sizes:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene_makers.random_rgba(height, width)).save(folder / file)
    (folder / "metadata.json").write_text(json.dumps({"train": columns}))
    return folder


def _good_model(scene: Path, poses: np.ndarray, binary: bool) -> Path:
    """A COLMAP model beside its images."""
    model, names = scene / "sparse/0", [f"view_{i:02d}.png" for i in range(len(poses))]
    colmap_makers.write_model(model, poses)
    format_makers.write_images(scene / "images", names, colmap_makers.WIDTH, colmap_makers.HEIGHT)
    if binary:
        found = pycolmap.Reconstruction(model)
        for path in model.iterdir():
            path.unlink()
        found.write_binary(model)
    return scene


def _good_file(name: str) -> bytes:
    target = io.BytesIO()
    if name == "ply":
        xyz = "property float x\nproperty float y\nproperty float z\n"
        return f"ply\nformat ascii 1.0\nelement vertex 1\n{xyz}end_header\n0 1 2\n".encode()
    if name == "camera_path":
        pose = np.eye(4).ravel().tolist()
        content: dict = {"camera_path": [{"camera_to_world": pose, "fov": 50}], "fps": 24}
        return json.dumps({**content, "render_width": 8, "render_height": 8}).encode()
    if name == "crop":
        size = {"crop_center": [0, 0, 0], "crop_scale": [1, 1, 1], "crop_rot": [0, 0, 1]}
        return json.dumps(size).encode()
    if name == "image":
        Image.new("RGB", (8, 6), (9, 99, 199)).save(target, "PNG")
    elif name in ("jpeg", "tiff"):
        Image.new("RGB", (8, 6), (9, 99, 199)).save(target, name.upper())
    elif name == "checkpoint":
        content = {"config": {"seed": 1}, "model": {"a": torch.zeros(2)}, "training": None}
        torch.save({"format": "taichi_pynerf/1", **content, "scene": None}, target)
    else:
        return b'{"step": 20, "loss": 0.5}\n{"step": 40, "val": {"psnr": 20.0}}\n'
    return target.getvalue()
