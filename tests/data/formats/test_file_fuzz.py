"""2,100 damaged files of every kind that is read: each is used, or refused in one line.

`pytest -m campaign tests/data/formats` tries them all; without the marker a few of each kind are
tried.
None may take more than 2 GiB of memory, or 30 seconds: more would be a file that hangs or bursts
the program. The rest of the campaign is in test_format_fuzz.py.
"""

import resource
import time
import warnings

import numpy as np
import pytest
import torch
from damage import damaged_archive, damaged_bytes, damaged_json, damaged_text
from format_makers import circle_poses
from PIL import Image
from program_makers import BENCHMARKS, WRITERS
from scene_makers import random_rgba, write_blender_scene

from taichi_pynerf.data import load_split
from taichi_pynerf.data.images import decode_image, decode_mask, read_header
from taichi_pynerf.errors import MissingPackageError, SceneError
from taichi_pynerf.rendering.camera_path_files import PathScene, read_camera_path
from taichi_pynerf.rendering.crop_files import read_crop

FEW, MANY = 8, 66  # inputs of each of the 32 kinds below: 256 in the fast suite, 2,112 in all
MOST_BYTES, MOST_SECONDS = 2 * 2**30, 30.0
campaign = pytest.mark.parametrize(
    "seeds",
    [range(FEW), pytest.param(range(MANY), marks=pytest.mark.campaign)],
    ids=["few", "many"],
)


def peak_bytes():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def tried(use, name):
    """Use a damaged file: a fault is a SceneError of one line that names it."""
    before, started = peak_bytes(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            used = use()
        except (SceneError, MissingPackageError) as error:
            message, used = str(error), None
            assert "\n" not in message
            assert len(message) < 700
            assert str(name) in message
            message.encode()  # can be printed
    assert time.perf_counter() - started < MOST_SECONDS
    assert peak_bytes() - before < MOST_BYTES
    return used


# ---- images ------------------------------------------------------------------------------------


def write_image(kind, path):
    rgba = random_rgba(24, 20)
    if kind == "tif16":
        pytest.importorskip("tifffile").imwrite(path, rgba[..., :3].astype(np.uint16) * 257)
    elif kind == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
        Image.fromarray(rgba[..., :3]).save(path, quality=90)
    elif kind in ("exr", "hdr"):
        oiio = pytest.importorskip("OpenImageIO")
        file = oiio.ImageOutput.create(str(path))
        assert file.open(str(path), oiio.ImageSpec(20, 24, 3, oiio.FLOAT))
        assert file.write_image(rgba[..., :3].astype(np.float32) / 100)
        file.close()
    else:
        rgba = rgba[..., :3] if kind in ("jpg", "bmp") else rgba
        Image.fromarray(rgba).save(path)
    return path.read_bytes()


KINDS = ("png", "jpg", "webp", "tif", "tif16", "bmp", "heic", "avif", "exr", "hdr")


@campaign
@pytest.mark.parametrize("kind", KINDS)
def test_images(tmp_path, kind, seeds):
    path = tmp_path / f"image.{kind.removesuffix('16')}"
    good = write_image(kind, path)
    for seed in seeds:
        path.write_bytes(damaged_bytes(good, seed))
        use = (decode_image, decode_mask, read_header)[seed % 3]
        used = tried(lambda use=use: use(path), path)
        if isinstance(used, np.ndarray) and used.dtype == np.uint8:
            assert used.shape[2] == 4


# ---- scenes ------------------------------------------------------------------------------------

EXPORTS = {
    "opensfm": ("reconstruction.json", damaged_json),
    "metashape": ("cameras.xml", damaged_text),
    "realitycapture": ("cameras.csv", damaged_text),
    "polycam": ("keyframes/cameras/view_01.json", damaged_json),
    "record3d": ("metadata.json", damaged_json),
    "kapture": ("sensors/trajectories.txt", damaged_text),
    "kapture sensors": ("sensors/sensors.txt", damaged_text),
    "kapture records": ("sensors/records_camera.txt", damaged_text),
    "pose-files": ("pose/0_000.txt", damaged_text),
    "pose-files lens": ("intrinsics.txt", damaged_text),
    "pose-files box": ("bbox.txt", damaged_text),
    "neus": ("cameras_sphere.npz", damaged_archive),
    "neus bytes": ("cameras_sphere.npz", damaged_bytes),
    "sdfstudio": ("meta_data.json", damaged_json),
    "scanner-app": ("frame_00001.json", damaged_json),
    "arkitscenes": ("scene_frames/lowres_wide.traj", damaged_text),
    "arkitscenes lens": ("scene_frames/lowres_wide_intrinsics/7_10.101.pincam", damaged_text),
}


def is_a_scene(scene):
    cameras = scene.cameras
    assert len(scene) > 0
    for tensor in (cameras.c2w, cameras.fx, cameras.fy, cameras.cx, cameras.cy):
        assert torch.isfinite(tensor).all()
    assert 0.0 < scene.near < scene.far < np.inf


@campaign
@pytest.mark.parametrize("export", EXPORTS)
def test_exports_of_programs(tmp_path, export, seeds):
    program, (file, damage) = export.split()[0], EXPORTS[export]
    folder = {**WRITERS, **BENCHMARKS}[program](tmp_path / "scene", circle_poses(5))
    good = (folder / file).read_bytes()
    for seed in seeds:
        (folder / file).write_bytes(damage(good, seed))
        scene = tried(lambda: load_split(folder, "train", dataset_type=program), folder)
        if scene is not None:
            is_a_scene(scene)


@campaign
def test_blender(tmp_path, seeds):
    folder = write_blender_scene(tmp_path / "scene")
    path = folder / "transforms_train.json"
    good = path.read_bytes()
    for seed in seeds:
        path.write_bytes(damaged_json(good, seed))
        scene = tried(lambda: load_split(folder, "train", dataset_type="blender"), folder)
        if scene is not None:
            is_a_scene(scene)


# ---- what is rendered --------------------------------------------------------------------------

PATHS = {
    "nerfstudio": b'{"camera_type": "perspective", "render_width": 64, "render_height": 48,'
    b' "fps": 24,'
    b' "crop": {"crop_center": [0, 0, 0], "crop_scale": [1, 1, 1], "crop_rot": [0, 0, 1],'
    b' "crop_bg_color": {"r": 1, "g": 2, "b": 3}}, "camera_path": [{"camera_to_world":'
    b" [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 4, 0, 0, 0, 1], \"fov\": 50, \"aspect\": 1}]}",
    "instant-ngp": b'{"time": 1.0, "path": [{"R": [0, 0, 0, 1], "T": [0.5, 0.5, 1], "fov": 50},'
    b' {"R": [0, 0.1, 0, 0.9], "T": [0.5, 0.6, 1], "fov": 60}]}',
    "transforms": b'{"camera_angle_x": 0.7, "w": 64, "h": 48, "frames": [{"file_path": "a",'
    b' "transform_matrix": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4], [0, 0, 0, 1]]}]}',
}  # fmt: skip


@campaign
@pytest.mark.parametrize("program", PATHS)
def test_camera_paths(tmp_path, program, seeds):
    path = tmp_path / "path.json"
    for seed in seeds:
        path.write_bytes(damaged_json(PATHS[program], seed))
        film = tried(lambda: read_camera_path(path, PathScene(num_frames=4)), path)
        if film is not None:
            assert film.cameras.c2w.isfinite().all()
            assert (film.cameras.fy > 0).all()
            assert 0 < film.fps <= 1000


@campaign
def test_crops(tmp_path, seeds):
    path = tmp_path / "crop.json"
    good = b'{"crop_center": [0, 0, 0], "crop_scale": [1, 1, 1], "crop_rot": [0, 0, 1]}'
    for seed in seeds:
        path.write_bytes(damaged_json(good, seed))
        crop = tried(lambda: read_crop(path), path)
        if crop is not None:
            assert min(crop.size) > 0
            assert np.isfinite(crop.around()).all()
