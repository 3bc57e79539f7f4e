"""Reports and pictures of the inspection, for good and for spoilt scenes."""

import json

import numpy as np
import pytest
from PIL import Image
from scene_makers import blender_transforms, write_blender_scene

from taichi_pynerf.apps import inspect_scene as inspect_scene_app
from taichi_pynerf.data.authoring.inspection import inspect_scene, looks_away
from taichi_pynerf.data.authoring.scene_drawing import AWAY, SPLIT_COLOURS, draw_scene
from taichi_pynerf.errors import SceneError

NUM_VIEWS = 12


@pytest.fixture
def scene(tmp_path):
    return write_blender_scene(tmp_path / "noise", NUM_VIEWS, splits=("train", "test"))


def spoil(scene, change, split="train"):
    """Change the poses [V, 4, 4] of a scene's file in place."""
    transforms = blender_transforms(NUM_VIEWS, split)
    poses = np.array([frame["transform_matrix"] for frame in transforms["frames"]])
    change(poses)
    for frame, pose in zip(transforms["frames"], poses, strict=True):
        frame["transform_matrix"] = pose.tolist()
    (scene / f"transforms_{split}.json").write_text(json.dumps(transforms))


def warnings(scene):
    found = inspect_scene(scene).warnings()
    assert all("\n" not in line for line in found)
    # Both splits have the same poses.
    return [line for line in found if "very pose of another" not in line]


def count_of(image, colour):
    return int((np.asarray(image) == colour).all(-1).sum())


def test_good_scene_has_a_summary_and_no_warnings(scene):
    inspection = inspect_scene(scene)
    summary = inspection.summary()
    assert f"{NUM_VIEWS} train, {NUM_VIEWS} test" in summary
    assert f"16x8 pixels, perspective, {np.degrees(0.7):.1f} degrees wide" in summary
    assert "scene box  (-1.5, -1.5, -1.5) to (1.5, 1.5, 1.5)" in summary
    assert warnings(scene) == []


def test_repeated_poses_are_counted(scene):
    assert inspect_scene(scene).warnings() == [
        f"{NUM_VIEWS} views have the very pose of another one"
    ]


def test_opencv_axes_are_recognised(scene):
    def opencv(poses):
        poses[:, :3, 1:3] *= -1

    for split in ("train", "test"):
        spoil(scene, opencv, split)
    (line,) = warnings(scene)
    assert f"{NUM_VIEWS} of {NUM_VIEWS} cameras look away" in line
    assert "OpenCV" in line


def test_one_camera_that_looks_away_is_named(scene):
    def turn_one(poses):
        poses[3, :3, [0, 2]] *= -1

    spoil(scene, turn_one)
    (line,) = warnings(scene)
    assert "1 of 13 cameras look away from the scene box: r_3" in line


def test_upside_down_camera_is_counted(scene):
    def roll_one(poses):
        poses[5, :3, :2] *= -1

    spoil(scene, roll_one)
    assert warnings(scene) == ["1 of 13 cameras are upside down to the rest"]


def test_cameras_in_one_place_have_no_depth(scene):
    def gather(poses):
        poses[:, :3, 3] = poses[0, :3, 3]

    for split in ("train", "test"):
        spoil(scene, gather, split)
    assert any("all cameras stand in one place" in line for line in warnings(scene))


def test_few_views_and_odd_lenses_are_told(tmp_path):
    scene = write_blender_scene(tmp_path / "few", 3)
    transforms = blender_transforms(3)
    transforms["camera_angle_x"] = 0.01
    (scene / "transforms_train.json").write_text(json.dumps(transforms))
    few, lens = warnings(scene)
    assert few.startswith("3 views are few")
    assert lens.startswith("train: 3 lenses see 1 to 1 degrees")


def test_axis_misses_the_box_where_it_does():
    box = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
    poses = np.tile(np.eye(4)[:3], (4, 1, 1))  # all look along -z
    poses[:, :, 3] = [(0, 0, 5), (0, 0, -5), (1.5, 0, 5), (0, 0, 0)]
    assert looks_away(poses, box).tolist() == [False, True, True, False]


def test_picture_shows_splits_and_cameras_that_look_away(scene):
    good = draw_scene(inspect_scene(scene))
    assert count_of(good, SPLIT_COLOURS["train"]) > 100
    assert count_of(good, SPLIT_COLOURS["val"]) == 0
    assert count_of(good, AWAY) == 0

    def turn_one(poses):
        poses[3, :3, [0, 2]] *= -1

    spoil(scene, turn_one)
    assert count_of(draw_scene(inspect_scene(scene)), AWAY) > 20


def test_broken_image_is_crossed_out(scene):
    (scene / "train" / "r_5.png").write_bytes(b"broken")
    assert count_of(draw_scene(inspect_scene(scene)), AWAY) > 20


def test_app(scene, tmp_path, capsys):
    tool = inspect_scene_app
    tool.main([str(scene), "--scene_scale", "0.75", "--output", str(tmp_path / "look.png")])
    printed = capsys.readouterr().out
    assert "scene box  (-0.75, -0.75, -0.75) to (0.75, 0.75, 0.75)" in printed
    assert "warning: 12 views have the very pose" in printed
    with Image.open(tmp_path / "look.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 500
    with pytest.raises(SceneError, match="no scene of a known format"):
        tool.main([str(tmp_path)])


def inspected(folder, tmp_path, capsys):
    """The program's output for a folder, and its exit status."""
    error = None
    try:
        inspect_scene_app.main([str(folder), "--output", str(tmp_path / "look.png")])
    except SceneError as caught:
        error = str(caught)
    return capsys.readouterr().out, error


def test_it_says_what_is_taken_and_what_is_ignored_and_why(scene, tmp_path, capsys):
    (scene / "transforms_old.json").write_text('{"note": 1}')
    (scene / "notes.txt").write_text("")
    (scene / "clip.mp4").write_bytes(b"")
    (scene / "train" / "raw.cr2").write_bytes(b"")
    for name in ("train/depth_0.png", "train_2/r_0.png", "cam_3/a.png", "masks/none.png"):
        (scene / name).parent.mkdir(exist_ok=True)
        Image.new("L", (16, 8), 255).save(scene / name)
    printed, error = inspected(scene, tmp_path, capsys)
    assert error is None
    for line in (
        "found      train/: 13 .png, 1 .cr2",
        "format     blender fits: transforms_test.json, transforms_train.json",
        "taken      poses of 24 views",
        "taken      images: 12 from test/, 12 from train/",
        "ignored    1 files (train_2/r_0.png): reduced images: --img_downscale 2 takes those",
        "ignored    2 files (cam_3/a.png, train/depth_0.png): images that no view names",
        "ignored    1 files (masks/none.png): masks that are called like no image",
        "ignored    1 files (train/raw.cr2): .cr2 images are not read: convert them",
        "ignored    1 files (clip.mp4): videos: pynerf-photos makes a scene of one",
        "ignored    1 files (transforms_old.json): JSON without frames: of something else",
        "ignored    1 files (notes.txt): not part of this format",
    ):
        assert line in printed


def test_it_says_what_lacks_in_a_folder_that_is_no_scene(tmp_path, capsys):
    folder = tmp_path / "nothing"
    (folder / "sparse" / "0").mkdir(parents=True)
    (folder / "sparse" / "0" / "images.bin").write_bytes(b"")
    printed, error = inspected(folder, tmp_path, capsys)
    assert "found      sparse/0/: 1 .bin" in printed
    assert (
        "format     colmap does not: there is sparse/0/images, but no sparse/0/cameras" in printed
    )
    assert "nearest is colmap" in error


def test_it_takes_a_file_for_its_folder_and_points_to_scenes_below(scene, tmp_path, capsys):
    printed, error = inspected(scene / "transforms_train.json", tmp_path, capsys)
    assert error is None
    assert "12 train, 12 test" in printed
    printed, error = inspected(tmp_path, tmp_path, capsys)
    assert "scenes are in its folders: noise (blender)" in error


def test_it_draws_poses_that_were_never_rendered(scene, tmp_path, capsys):
    for path in (scene / "test").iterdir():
        path.unlink()
    printed, error = inspected(scene, tmp_path, capsys)
    assert error is None
    assert "12 train, 12 test" in printed
    assert "taken      images: 12 from train/" in printed


def test_images_of_any_kind_are_on_the_sheet(tmp_path):
    from taichi_pynerf.data.authoring.scene_drawing import _thumbnail
    from taichi_pynerf.data.linear_images import write_exr

    pytest.importorskip("OpenImageIO", reason="OpenImageIO (the extra [hdr]) is not installed")
    write_exr(tmp_path / "a.exr", dict.fromkeys("RGB", np.full((8, 16), 0.1)), {})
    Image.new("RGB", (16, 8), (200, 10, 10)).save(tmp_path / "b.webp", lossless=True)
    assert np.array(_thumbnail(tmp_path / "a.exr", 8, 0.0)).max() < 100
    brighter = np.array(_thumbnail(tmp_path / "a.exr", 8, 3.0))
    assert brighter.shape == (4, 8, 3)
    assert brighter.min() > 220
    assert (np.array(_thumbnail(tmp_path / "b.webp", 8, 0.0)) == [200, 10, 10]).all()
