"""Folders of photographs with poses, and what their cameras must give, for tests of folders."""

import json
import warnings

import colmap_makers
import numpy as np
from colmap_makers import write_model
from format_makers import circle_poses, file_rays, write_images

from taichi_pynerf.data import load_split
from taichi_pynerf.errors import SceneWarning
from taichi_pynerf.geometry.rays import view_rays

POSES = circle_poses(9)
WIDTH, HEIGHT, FOCAL = 24, 16, 20.0
CAMERA = (WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)
LAST = [0.0, 0.0, 0.0, 1.0]
NAMES = [f"images/f{i}.png" for i in range(9)]


def quietly(*args, **options):
    """`load_split` without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        return load_split(*args, **options)


def transforms(names=NAMES, poses=POSES, **top):
    """The content of a `transforms.json` of these images."""
    lens = {"w": WIDTH, "h": HEIGHT, "fl_x": FOCAL, "fl_y": FOCAL}
    frames = [
        {"file_path": name, "transform_matrix": np.vstack([pose, LAST]).tolist()}
        for name, pose in zip(names, poses, strict=True)
    ]
    return {**lens, "cx": WIDTH / 2, "cy": HEIGHT / 2, **top, "frames": frames}


def write_description(folder, content, name="transforms.json", **how):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content), **how)
    return (folder / name).parent


def assert_poses_are(scene, poses, camera=CAMERA):
    """Check that rays of all views are those of these poses, in the files' world."""
    assert len(scene.cameras) == len(poses)
    for view, pose in enumerate(poses):
        rays = view_rays(scene.cameras, view)
        rays_o, rays_d = file_rays(pose, *camera)
        origin = scene.transform.undo(rays.rays_o[:1].double().numpy())[0]
        np.testing.assert_allclose(origin, rays_o, atol=2e-5)
        directions = scene.transform.undo_directions(rays.rays_d.double().numpy())
        np.testing.assert_allclose(directions, rays_d, atol=2e-5)


def train_poses():
    return [POSES[int(i)] for i in np.linspace(0, 8, 8).astype(int)]


def write_colmap(folder, place="sparse/0", names="view_{:02d}.png", images="images"):
    write_model(folder / place, POSES, "PINHOLE", names)
    size = colmap_makers.WIDTH, colmap_makers.HEIGHT
    write_images(folder / images, [names.format(i) for i in range(9)], *size)
    return folder


def colmap_poses():
    camera = (colmap_makers.WIDTH, colmap_makers.HEIGHT, *colmap_makers.CAMERAS["PINHOLE"])
    return [POSES[i] for i in (1, 2, 3, 4, 5, 6, 7)], camera
