"""The parsers that are fuzzed, each with a good file to begin from, made by the tests' writers."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.reliability.children import ROOT
from taichi_pynerf.data import load_split
from taichi_pynerf.data.formats.sparse_points import read_ply_points
from taichi_pynerf.data.images import decode_image
from taichi_pynerf.rendering.camera_path_files import PathScene, read_camera_path
from taichi_pynerf.rendering.crop_files import read_crop
from taichi_pynerf.runs.checkpoint import config_of, read_checkpoint
from taichi_pynerf.training.log import read_log

sys.path.insert(0, str(ROOT / "tests"))
import format_makers
import program_makers
import scene_makers

VIEWS = 5
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
    "record3d": ("record3d", "metadata.json"),
}
FILES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "ply": ("points.ply", read_ply_points),
    "camera_path": ("path.json", lambda path: read_camera_path(path, PathScene(num_frames=4))),
    "crop": ("crop.json", read_crop),
    "image": ("image.png", decode_image),
    "checkpoint": ("checkpoint.pth", lambda path: config_of(read_checkpoint(path), path)),
    "log": ("log.jsonl", read_log),
}
PARSERS = (*SCENES, *FILES)


def parser_in(folder: Path, name: str) -> tuple[Path, Callable[[], object]]:
    """A parser, ready for use.

    Args:
        folder: where its good file, and the rest of a scene, are written.

    Returns:
        The file, and the call that reads it.
    """
    if name in FILES:
        file, read = FILES[name]
        path = folder / file
        path.write_bytes(_good_file(name))
        return path, lambda: read(path)
    kind, file = SCENES[name]
    scene = _good_scene(kind, folder)
    return scene / file, lambda: load_split(scene, "train", dataset_type=kind)


def _good_scene(kind: str, folder: Path) -> Path:
    poses = format_makers.circle_poses(VIEWS)
    if kind in program_makers.WRITERS:
        return program_makers.WRITERS[kind](folder / "scene", poses)
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
    elif name == "checkpoint":
        content = {"config": {"seed": 1}, "model": {"a": torch.zeros(2)}, "training": None}
        torch.save({"format": "taichi_pynerf/1", **content, "scene": None}, target)
    else:
        return b'{"step": 20, "loss": 0.5}\n{"step": 40, "val": {"psnr": 20.0}}\n'
    return target.getvalue()
