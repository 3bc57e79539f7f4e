"""Scene folders in the formats of photographs, with known cameras; and the rays they must give."""

import json
import math
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from scene_makers import random_rgba

from taichi_pynerf.geometry.rays import view_rays

CENTER = np.array([5.0, -2.0, 1.0])
PHONE = {"k1": 0.0578, "k2": -0.0805, "p1": -0.00098, "p2": 0.00015}


def circle_poses(num_views: int, radius: float = 3.0, seed: int = 0) -> np.ndarray:
    """[V, 3, 4] float64 OpenGL poses around a point off the origin, looking at it, with a roll."""
    random = np.random.default_rng(seed)
    poses = []
    for angle in np.arange(num_views) * 2.0 * math.pi / num_views:
        eye = radius * np.array([math.cos(angle), math.sin(angle), 0.4 + 0.1 * random.random()])
        backward = eye / np.linalg.norm(eye)
        right = np.cross([0.1, 0.05, 1.0], backward)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(backward, right), backward], axis=1)
        poses.append(np.concatenate([rotation, (eye + CENTER)[:, None]], axis=1))
    return np.stack(poses)


def forward_poses(num_views: int) -> np.ndarray:
    """[V, 3, 4] float64 OpenGL poses side by side, all looking along -z but for a degree or two."""
    poses = []
    for i in range(num_views):
        tilt = 0.02 * (i - num_views / 2)
        rotation = [
            [math.cos(tilt), 0.0, math.sin(tilt)],
            [0.0, 1.0, 0.0],
            [-math.sin(tilt), 0.0, math.cos(tilt)],
        ]
        position = [[0.3 * i], [0.1 * (i % 3)], [0.05 * (i % 2)]]
        poses.append(np.concatenate([rotation, position], axis=1))
    return np.stack(poses)


def write_images(folder: Path, names: list[str], width: int, height: int) -> None:
    """Random opaque images."""
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_rgba(height, width, seed=i)[..., :3]).save(folder / name)


def nerfstudio_transforms(poses: np.ndarray, width: int = 18, height: int = 32, **more) -> dict:
    """The content of a good `transforms.json` of images of a phone held upright."""
    last_row = [0.0, 0.0, 0.0, 1.0]
    return {
        "camera_model": "OPENCV",
        "fl_x": 23.1,
        "fl_y": 23.4,
        "cx": 0.5 * width + 0.7,
        "cy": 0.5 * height - 0.3,
        "w": width,
        "h": height,
        **PHONE,
        "aabb_scale": 4,
        **more,
        "frames": [
            {
                "file_path": f"images/{i:04d}.png",
                "transform_matrix": [*pose.tolist(), last_row],
            }
            for i, pose in enumerate(poses)
        ],
    }


def write_nerfstudio_scene(folder: Path, transforms: dict) -> Path:
    """Write a description and all of its images."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [frame["file_path"] for frame in transforms["frames"]]
    write_images(folder, names, transforms.get("w", 18), transforms.get("h", 32))
    (folder / "transforms.json").write_text(json.dumps(transforms))
    return folder


def poses_bounds(
    poses: np.ndarray, width: int, height: int, focal: float, near: float = 2.0, far: float = 20.0
) -> np.ndarray:
    """[V, 17], the content of a good `poses_bounds.npy`."""
    right, up, backward, position = np.moveaxis(poses, -1, 0)
    size = np.broadcast_to([height, width, focal], right.shape).astype(float)
    matrices = np.stack([-up, right, backward, position, size], axis=-1)
    bounds = np.broadcast_to([near, far], (len(poses), 2))
    return np.concatenate([matrices.reshape(len(poses), 15), bounds], axis=1)


def write_llff_scene(
    folder: Path, poses: np.ndarray, width: int = 32, height: int = 24, focal: float = 30.0
) -> Path:
    """Write images and `poses_bounds.npy`."""
    write_images(folder / "images", [f"view_{i:03d}.png" for i in range(len(poses))], width, height)
    np.save(folder / "poses_bounds.npy", poses_bounds(poses, width, height, focal))
    return folder


def file_rays(pose, width, height, fx, fy, cx, cy, lens=None, fisheye=False):
    """Origin [3] and [H * W, 3] unit directions of one view in the file's world, in float64.

    The lens is undone by a fixed-point iteration, which is slow and not what the package does.
    """
    k1, k2, k3, k4, p1, p2 = lens or [0.0] * 6
    v, u = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    moved_x, moved_y = (u.ravel() - cx) / fx, (v.ravel() - cy) / fy
    x, y = moved_x, moved_y
    for _ in range(300):
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + k4 * r2**4
        x, y = (
            (moved_x - 2 * p1 * x * y - p2 * (r2 + 2 * x * x)) / radial,
            (moved_y - 2 * p2 * x * y - p1 * (r2 + 2 * y * y)) / radial,
        )
    forward = np.ones_like(x)
    if fisheye:
        theta = np.hypot(x, y)
        x, y, forward = x * np.sinc(theta / np.pi), y * np.sinc(theta / np.pi), np.cos(theta)
    rays_d = np.stack([x, -y, -forward], axis=-1) @ pose[:, :3].T
    return pose[:, 3], rays_d / np.linalg.norm(rays_d, axis=-1, keepdims=True)


def multiscale_metadata(poses, split, width=16, height=8, focal=20.0):
    """The object of one split, in the order of Mip-NeRF's converter: view by view, fine first."""
    columns = {name: [] for name in (
        "file_path", "cam2world", "width", "height", "focal", "pix2cam", "lossmult", "label",
        "near", "far",
    )}  # fmt: skip
    for i, pose in enumerate(poses):
        for j in range(4):
            w, h, f = width // 2**j, height // 2**j, focal / 2**j
            row = [
                f"images_{split}/{i:03d}_d{j}.png", [*pose.tolist(), [0, 0, 0, 1]], w, h, f,
                [[1 / f, 0, -0.5 * w / f], [0, -1 / f, 0.5 * h / f], [0, 0, -1]], 4**j, j, 2, 6,
            ]  # fmt: skip
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    return columns


def assert_rays_are(scene, view, expected_o, expected_d):
    """Check that a view's rays, brought back to the file's world, are the analytic ones."""
    rays = view_rays(scene.cameras, view)
    rays_o = scene.transform.undo(rays.rays_o[:1].double().numpy())[0]
    rays_d = rays.rays_d.double().numpy() @ scene.transform.matrix[:, :3]
    np.testing.assert_allclose(rays_o, expected_o, atol=1e-5)
    np.testing.assert_allclose(rays_d, expected_d, atol=1e-5)


def srgb_profile() -> bytes:
    """An ICC profile of sRGB, as programs put it into images."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """An ICC profile whose red is sRGB's green, and whose green is its red."""
    profile = bytearray(srgb_profile())
    (count,) = struct.unpack(">I", profile[128:132])
    places = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * count, 12)}
    for old, new in ((b"rXYZ", b"gXYZ"), (b"gXYZ", b"rXYZ")):
        profile[places[old] : places[old] + 4] = new
    return bytes(profile)
