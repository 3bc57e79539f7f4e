"""Tiny scenes for tests, in memory and on disk."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from taichi_pynerf.data.scene import Scene
from taichi_pynerf.geometry.cameras import Cameras, look_at


def orbit_poses(num_views: int, radius: float = 4.0) -> torch.Tensor:
    """[V, 3, 4] poses on a circle that slopes around the origin, all looking at it."""
    angles = torch.arange(num_views) * (2.0 * torch.pi / num_views)
    eyes = torch.stack([angles.cos(), angles.sin(), 0.3 + 0.2 * angles.sin()], dim=-1)
    return torch.stack([look_at(radius * eye, (0.0, 0.0, 0.0)) for eye in eyes])


def make_cameras(
    num_views: int = 3, width: int = 16, height: int = 8, focal: float = 20.0
) -> Cameras:
    """Cameras on a circle around the origin, with the principal point in the middle."""
    return Cameras(
        c2w=orbit_poses(num_views),
        fx=torch.full((num_views,), focal),
        fy=torch.full((num_views,), focal),
        cx=torch.full((num_views,), 0.5 * width),
        cy=torch.full((num_views,), 0.5 * height),
        width=torch.full((num_views,), width),
        height=torch.full((num_views,), height),
    )


def random_rgba(height: int, width: int, seed: int = 0) -> np.ndarray:
    """[H, W, 4] uint8 with straight alpha, all values random."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)


def make_scene(num_views: int = 3, width: int = 16, height: int = 8) -> Scene:
    """A scene in memory, of random premultiplied RGBA images."""
    images = [random_rgba(height, width, seed) for seed in range(num_views)]
    for image in images:
        image[..., :3] = np.minimum(image[..., :3], image[..., 3:])
    return Scene.from_images(
        images,
        make_cameras(num_views, width, height),
        near=0.05,
        far=8.0,
        aabb=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0),
    )


def blender_transforms(num_views: int = 3, split: str = "train") -> dict:
    """The content of a good `transforms_<split>.json`."""
    last_row = [0.0, 0.0, 0.0, 1.0]
    frames = [
        {"file_path": f"./{split}/r_{i}", "transform_matrix": [*pose.tolist(), last_row]}
        for i, pose in enumerate(orbit_poses(num_views))
    ]
    return {"camera_angle_x": 0.7, "frames": frames}


def write_blender_scene(
    folder: Path,
    num_views: int = 3,
    width: int = 16,
    height: int = 8,
    splits: tuple[str, ...] = ("train",),
) -> Path:
    """Write a scene of random RGBA images, and give its folder back."""
    for split in splits:
        (folder / split).mkdir(parents=True)
        for i in range(num_views):
            image = Image.fromarray(random_rgba(height, width, seed=i))
            image.save(folder / split / f"r_{i}.png")
        transforms = blender_transforms(num_views, split)
        (folder / f"transforms_{split}.json").write_text(json.dumps(transforms))
    return folder
