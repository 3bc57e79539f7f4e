"""Folders as people have them: one transform for a scene, and its cameras."""

import numpy as np
import pytest
from format_makers import (
    assert_rays_are,
    circle_poses,
    file_rays,
    nerfstudio_transforms,
    write_images,
    write_nerfstudio_scene,
)
from people_makers import blender_at, frame, object_poses, quietly, write_json

from taichi_pynerf.data import Placement, PyNeRFDataset, load_split
from taichi_pynerf.errors import SceneError, SceneWarning
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.training.scene_fit import check_rays_meet

ASKED = Placement(center="poses", auto_scale=True)


def test_all_splits_get_one_transform(tmp_path):
    blender_at(tmp_path, {"train": object_poses(5), "test": object_poses(3, radius=2.0)})
    train, test = (load_split(tmp_path, split, placement=ASKED) for split in ("train", "test"))
    np.testing.assert_array_equal(train.transform.matrix, test.transform.matrix)
    assert train.transform.scale == test.transform.scale
    assert (train.near, train.far, train.aabb) == (test.near, test.far, test.aabb)


def test_a_blender_scene_elsewhere_is_moved_into_the_box(tmp_path):
    blender_at(tmp_path, {"train": object_poses(8)}, shift=(10.0, 0.0, 0.0))
    with pytest.warns(SceneWarning, match=r"do not look into the box .* 10 .* becomes the origin"):
        scene = load_split(tmp_path, "train")
    np.testing.assert_allclose(scene.transform.undo(np.zeros(3)), [10.0, 0.0, 0.0], atol=1e-4)
    assert scene.aabb == (-1.5,) * 3 + (1.5,) * 3
    # What a camera sees at the origin just fills the box, as NeRF-synthetic's do.
    distance = np.linalg.norm(scene.cameras.c2w[0, :, 3])
    assert 0.5 * 16 / scene.cameras.fx[0] * distance == pytest.approx(1.5, rel=0.05)
    asked = Placement(scene_scale=2.0)
    kept = load_split(tmp_path, "train", placement=asked)
    assert kept.cameras.c2w[:, 0, 3].mean() == pytest.approx(10.0, abs=0.1)


def test_a_blender_scene_in_its_place_is_left_there(tmp_path):
    blender_at(tmp_path, {"train": object_poses(8)})
    scene = quietly(load_split, tmp_path, "train")
    np.testing.assert_array_equal(scene.transform.matrix, np.eye(4)[:3])


def test_rays_that_pass_the_box_by_end_the_training_before_it_begins(tmp_path):
    blender_at(tmp_path, {"train": object_poses(4)}, shift=(10.0, 0.0, 0.0))
    dataset = PyNeRFDataset(tmp_path, placement=Placement(aabb=(-11, -1, -1, -9, 1, 1)))
    with pytest.raises(SceneError, match=r"0\.0% of the training rays meet the scene box .*--aabb"):
        check_rays_meet(dataset, SceneBox(dataset.aabb))
    check_rays_meet(dataset, SceneBox((9.0, -1.0, -1.0, 11.0, 1.0, 1.0)))


@pytest.mark.parametrize("easting", [5e5, 9.9e6])
def test_georeferenced_coordinates_are_centred_in_64_bits(tmp_path, easting):
    shift = np.array([easting, 4.4e6, 120.0])
    poses = circle_poses(6)
    poses[:, :, 3] += shift
    transforms = nerfstudio_transforms(poses)
    write_nerfstudio_scene(tmp_path, transforms)
    scene = load_split(tmp_path, "train")
    back = scene.transform.undo(scene.cameras.c2w[:, :, 3].double().numpy())
    known = poses[[int(name) for name in scene.names]][:, :, 3]
    np.testing.assert_allclose(back, known, rtol=0, atol=2e-6)


def test_georeferenced_blender_scenes_and_cubes_are_moved_too(tmp_path):
    blender_at(tmp_path / "a", {"train": object_poses(5)}, shift=(5e5, 4.4e6, 100.0))
    poses = circle_poses(6)
    poses[:, :, 3] += [5e5, 4.4e6, 100.0]
    write_nerfstudio_scene(tmp_path / "b", nerfstudio_transforms(poses, aabb_scale=1))
    for folder in ("a", "b"):
        with pytest.warns(SceneWarning, match="do not look into the box"):
            scene = load_split(tmp_path / folder, "train")
        assert scene.cameras.c2w[:, :, 3].abs().max() < 10.0
    with pytest.raises(SceneError, match="too far for 32 bits"):
        load_split(tmp_path / "a", "train", placement=Placement(scene_scale=1e5, center="none",
                                                                orientation="none"))  # fmt: skip


def test_blender_files_with_full_intrinsics_of_images_of_several_sizes(tmp_path):
    poses = object_poses(3)
    own = {"fl_x": 21.0, "fl_y": 20.0, "cx": 9.0, "cy": 6.5, "w": 20, "h": 12, "k1": 0.03}
    transforms = {
        "fl_x": 30.0, "fl_y": 31.0, "cx": 17.0, "cy": 11.0, "w": 32, "h": 24, "k1": -0.05,
        "p1": 0.002,
        "frames": [frame(f"images/{i}.png", pose) for i, pose in enumerate(poses)],
    }  # fmt: skip
    transforms["frames"][1] |= own
    write_json(tmp_path / "transforms_train.json", transforms)
    write_images(tmp_path / "images", ["0.png", "2.png"], 32, 24)
    write_images(tmp_path / "images", ["1.png"], 20, 12)
    scene = load_split(tmp_path, "train")
    lens = [-0.05, 0, 0, 0, 0.002, 0]
    assert_rays_are(scene, 0, *file_rays(poses[0], 32, 24, 30.0, 31.0, 17.0, 11.0, lens))
    lens = [0.03, 0, 0, 0, 0.002, 0]
    assert_rays_are(scene, 1, *file_rays(poses[1], 20, 12, 21.0, 20.0, 9.0, 6.5, lens))


@pytest.mark.parametrize(
    ("intrinsics", "focal"),
    [
        ({"x_fov": 60.0}, 9.0 / np.tan(np.pi / 6)),
        ({"fx": 23.0, "fy": 23.0}, 23.0),
        ({"focal_length": 22.0}, 22.0),
        ({"fl_x": 25.0, "camera_model": "perspective"}, 25.0),
        ({"fl_x": 25.0, "camera_model": "FULL_OPENCV", "k3": 0.0, "k4": 0, "k5": 0, "k6": 0}, 25.0),
    ],
)
def test_other_words_for_intrinsics(tmp_path, intrinsics, focal):
    transforms = nerfstudio_transforms(circle_poses(3))
    for name in ("fl_x", "fl_y", "camera_model", "k1", "k2", "p1", "p2"):
        del transforms[name]
    write_nerfstudio_scene(tmp_path, transforms | intrinsics)
    cameras = load_split(tmp_path, "train").cameras
    assert cameras.fx[0].item() == pytest.approx(focal)
    assert cameras.distortion is None


def test_distortion_params_as_a_list(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(2))
    for name in ("k1", "k2", "p1", "p2"):
        del transforms[name]
    lens = [0.01, -0.02, 0.003, 0.0, 0.001, -0.001]
    write_nerfstudio_scene(tmp_path, transforms | {"distortion_params": lens})
    found = load_split(tmp_path, "train").cameras.distortion[0].tolist()
    assert found == pytest.approx(lens)
