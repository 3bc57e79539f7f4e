"""Panoramas in transforms.json."""

import math

import numpy as np
from format_makers import circle_poses, nerfstudio_transforms, write_nerfstudio_scene

from taichi_pynerf.data import load_split
from taichi_pynerf.geometry.rays import view_rays


def test_equirectangular_frames_see_the_whole_sphere(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(4), 32, 16, camera_model="EQUIRECTANGULAR")
    for name in ("fl_x", "fl_y", "cx", "cy"):  # which say nothing of a panorama
        transforms[name] = 7.0
    folder = write_nerfstudio_scene(tmp_path / "scene", transforms)
    scene = load_split(folder, "train", img_downscale=2)
    assert scene.cameras.panorama.all()
    assert (int(scene.cameras.width[0]), int(scene.cameras.height[0])) == (16, 8)
    rays = view_rays(scene.cameras, 0)
    assert abs(float(rays.pixel_areas.sum()) - 4 * math.pi) < 0.1
    ahead = rays.rays_d.view(8, 16, 3)[3:5, 7:9].mean((0, 1)).numpy()
    pose = scene.cameras.c2w[0].numpy()
    np.testing.assert_allclose(ahead / np.linalg.norm(ahead), -pose[:, 2], atol=1e-5)


def test_one_frame_of_several_may_be_a_panorama(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(4), 32, 16)
    transforms["frames"][1]["camera_model"] = "spherical"
    scene = load_split(write_nerfstudio_scene(tmp_path / "scene", transforms), "train")
    assert scene.cameras.panorama.tolist().count(True) == 1
