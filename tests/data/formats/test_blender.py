import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from scene_makers import blender_transforms, random_rgba, write_blender_scene

from taichi_pynerf.data.images import box_downscale, decode_image
from taichi_pynerf.data.loading import load_split
from taichi_pynerf.data.locating import detect_dataset_type
from taichi_pynerf.errors import SceneError, SceneWarning


@pytest.fixture
def scene_dir(tmp_path):
    return write_blender_scene(tmp_path / "scene")


def write_transforms(scene_dir, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (scene_dir / "transforms_train.json").write_text(text)


def fails_in_one_line(scene_dir, *words, split="train", **options):
    with pytest.raises(SceneError) as caught:
        load_split(scene_dir, split, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    for word in words:
        assert word in message


def test_cameras_and_images_are_read(scene_dir):
    scene = load_split(scene_dir, "train")
    assert len(scene.images) == len(scene.cameras) == 3
    assert scene.names == ["r_0", "r_1", "r_2"]
    assert scene.split == "train"
    assert scene.cameras.fx.tolist() == pytest.approx([8.0 / math.tan(0.35)] * 3)
    assert torch.equal(scene.cameras.fx, scene.cameras.fy)
    assert scene.cameras.cx.tolist() == [8.0] * 3
    assert scene.cameras.cy.tolist() == [4.0] * 3
    for i, frame in enumerate(blender_transforms()["frames"]):
        pose = torch.tensor(frame["transform_matrix"])[:3]
        torch.testing.assert_close(scene.cameras.c2w[i], pose)
        expected = decode_image(scene_dir / "train" / f"r_{i}.png")
        np.testing.assert_array_equal(scene.images[i], expected)


def test_bounds_hold_the_box_for_every_camera(scene_dir):
    scene = load_split(scene_dir, "train")
    assert scene.aabb == (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5)
    corners = torch.cartesian_prod(*[torch.tensor([-1.5, 1.5])] * 3)
    distances = torch.cdist(scene.cameras.c2w[:, :, 3], corners)
    assert 0 < scene.near < distances.min()
    assert distances.max() < scene.far < math.inf


def test_img_downscale_averages_and_scales_the_cameras(scene_dir):
    full, half = load_split(scene_dir, "train"), load_split(scene_dir, "train", img_downscale=2)
    for image, reduced in zip(full.images, half.images, strict=True):
        np.testing.assert_array_equal(reduced, box_downscale(image, 2))
    torch.testing.assert_close(half.cameras.fx, full.cameras.fx / 2, rtol=0, atol=0)
    assert half.scales.tolist() == [1, 1, 1]
    assert half.pixel_weights.tolist() == [1.0, 1.0, 1.0]


def test_scales_come_one_after_the_other_from_the_files_own_pixels(scene_dir):
    full = load_split(scene_dir, "train")
    scene = load_split(scene_dir, "train", img_downscale=2, scales=[1, 4])
    assert scene.scales.tolist() == [1, 1, 1, 4, 4, 4]
    assert scene.pixel_weights.tolist() == [1.0, 1.0, 1.0, 16.0, 16.0, 16.0]
    assert scene.names == full.names * 2
    for i, image in enumerate(full.images):
        np.testing.assert_array_equal(scene.images[i], box_downscale(image, 2))
        np.testing.assert_array_equal(scene.images[3 + i], box_downscale(image, 8))


def test_a_frame_may_have_its_own_angle(scene_dir):
    transforms = blender_transforms()
    transforms["frames"][1]["camera_angle_x"] = 1
    write_transforms(scene_dir, transforms)
    fx = load_split(scene_dir, "train").cameras.fx
    assert fx.tolist() == pytest.approx([8.0 / math.tan(a) for a in (0.35, 0.5, 0.35)])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".JPG"])
@pytest.mark.parametrize("written_out", [True, False])
def test_file_paths_with_and_without_suffix(tmp_path, suffix, written_out):
    Image.fromarray(random_rgba(8, 8)[..., :3]).save(tmp_path / f"view{suffix}")
    transforms = blender_transforms(num_views=1)
    transforms["frames"][0]["file_path"] = "view" + suffix * written_out
    write_transforms(tmp_path, transforms)
    scene = load_split(tmp_path, "train")
    assert scene.names == ["view"]
    assert scene.images[0].shape == (8, 8, 3)


def test_names_that_collide_get_their_folders(scene_dir):
    (scene_dir / "more").mkdir()
    Image.fromarray(random_rgba(8, 16)).save(scene_dir / "more" / "r_0.png")
    transforms = blender_transforms()
    transforms["frames"][2]["file_path"] = "./more/r_0.png"
    write_transforms(scene_dir, transforms)
    assert load_split(scene_dir, "train").names == ["train_r_0", "train_r_1", "more_r_0"]


def test_a_pose_of_three_rows_is_enough(scene_dir):
    transforms = blender_transforms()
    for frame in transforms["frames"]:
        frame["transform_matrix"].pop()
    write_transforms(scene_dir, transforms)
    assert len(load_split(scene_dir, "train").cameras) == 3


def test_type_is_detected(scene_dir, tmp_path):
    assert detect_dataset_type(scene_dir) == "blender"
    fails_in_one_line(tmp_path, str(tmp_path), "blender")


def test_unknown_type_lists_the_known_ones(scene_dir):
    fails_in_one_line(scene_dir, "'bundler'", "blender", dataset_type="bundler")


def test_absent_folder_and_file_for_a_folder(scene_dir):
    fails_in_one_line(scene_dir / "none", "none: no such folder")
    fails_in_one_line(scene_dir / "train" / "r_0.png", "not a folder")
    fails_in_one_line(scene_dir / ("a" * 5000), "cannot be read")


def test_absent_split_lists_what_there_is(tmp_path):
    scene_dir = write_blender_scene(tmp_path / "scene", splits=("train", "val"))
    fails_in_one_line(scene_dir, str(scene_dir), "no split 'test'", "train, val", split="test")
    fails_in_one_line(tmp_path, "splits in this folder: none", dataset_type="blender")


@pytest.mark.parametrize("value", [0, -2, 1.5, True, "2", 10**30])
def test_wrong_img_downscale(scene_dir, value):
    fails_in_one_line(scene_dir, "img_downscale", img_downscale=value)


@pytest.mark.parametrize("value", [[], [0], [1, -2], [1, 1], [1, 2.0]])
def test_wrong_scales(scene_dir, value):
    fails_in_one_line(scene_dir, "scales", scales=value)


def test_sizes_that_do_not_divide_are_cropped(scene_dir):
    full = load_split(scene_dir, "train")
    scene = load_split(scene_dir, "train", img_downscale=3, scales=[1, 2])
    assert scene.cameras.width.tolist() == [5] * 3 + [2] * 3
    assert scene.cameras.height.tolist() == [2] * 3 + [1] * 3
    torch.testing.assert_close(scene.cameras.cx[3:], full.cameras.cx / 6)
    np.testing.assert_array_equal(scene.images[1], box_downscale(full.images[1][:6, :15], 3))
    np.testing.assert_array_equal(scene.images[4], box_downscale(full.images[1][:6, :12], 6))


def test_reductions_that_leave_nothing_name_the_file(scene_dir):
    fails_in_one_line(scene_dir, "r_0.png: 16x8", "by 16", img_downscale=4, scales=[1, 4])


ONE_OF_MANY = "frames[1]"
INFINITE = float("inf")


def changed(*keys, value):
    """A good description except for the value at the place given by `keys`."""
    transforms = blender_transforms()
    place = transforms
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return transforms


def without(*keys):
    transforms = changed(*keys, value=None)
    place = transforms
    for key in keys[:-1]:
        place = place[key]
    del place[keys[-1]]
    return transforms


def posed(matrix):
    return changed("frames", 1, "transform_matrix", value=matrix)


def rotated(rotation):
    return posed([[*row, 0.0] for row in rotation] + [[0.0, 0.0, 0.0, 1.0]])


BAD_DESCRIPTIONS = {
    "empty file": ("", ["an empty file", "copy or download it again"]),
    "cut off": ('{"camera_angle_x": 0.7,\n "frames": [', ["line 2", "column"]),
    "not JSON": ("camera_angle_x = 0.7", ["line 1"]),
    "nested deep": ("[" * 100_000, ["nested too deeply"]),
    "nested deep objects": ('{"a":' * 100_000, ["nested too deeply"]),
    "a list": ([1, 2], ["JSON object"]),
    "null": ("null", ["JSON object"]),
    "no frames": (without("frames"), ["frames"]),
    "frames null": (changed("frames", value=None), ["frames"]),
    "frames an object": (changed("frames", value={"0": {}}), ["frames"]),
    "frames empty": (changed("frames", value=[]), ["at least one frame"]),
    "a frame is a number": (changed("frames", 1, value=3), [ONE_OF_MANY]),
    "no angle": (without("camera_angle_x"), ["neither fl_x nor camera_angle_x"]),
    "angle null": (changed("camera_angle_x", value=None), ["neither fl_x nor camera_angle_x"]),
    "angle text": (changed("camera_angle_x", value="0.7"), ["camera_angle_x", "'0.7'"]),
    "angle bool": (changed("camera_angle_x", value=True), ["camera_angle_x", "True"]),
    "angle zero": (changed("camera_angle_x", value=0), ["camera_angle_x", "0.0"]),
    "angle negative": (changed("camera_angle_x", value=-0.7), ["camera_angle_x"]),
    "angle tiny": (changed("camera_angle_x", value=1e-30), ["camera_angle_x"]),
    "angle in degrees": (changed("camera_angle_x", value=39.6), ["radians", "39.6"]),
    "angle nan": (changed("camera_angle_x", value=float("nan")), ["camera_angle_x", "nan"]),
    "angle infinite": (changed("camera_angle_x", value=INFINITE), ["camera_angle_x", "inf"]),
    "angle huge": ('{"camera_angle_x": ' + "9" * 10_000 + ', "frames": [{}]}', ["file_path"]),
    "frame's angle": (changed("frames", 1, "camera_angle_x", value=[]), [ONE_OF_MANY]),
    "no path": (without("frames", 1, "file_path"), [ONE_OF_MANY, "file_path"]),
    "path empty": (changed("frames", 1, "file_path", value=""), [ONE_OF_MANY, "file_path"]),
    "path a number": (changed("frames", 1, "file_path", value=7), [ONE_OF_MANY, "file_path"]),
    "path leads out": (
        changed("frames", 1, "file_path", value="../outside.png"),
        [ONE_OF_MANY, "leads out", "allow_external_paths"],
    ),
    "path absolute": (changed("frames", 1, "file_path", value="/dev/null"), ["leads out"]),
    "path with a null": (changed("frames", 1, "file_path", value="a\0b"), [ONE_OF_MANY]),
    "path too long": (changed("frames", 1, "file_path", value="a" * 100_000), [ONE_OF_MANY]),
    "path no text": (changed("frames", 1, "file_path", value="\ud800"), [ONE_OF_MANY]),
    "no pose": (without("frames", 1, "transform_matrix"), [ONE_OF_MANY, "4 rows of 4"]),
    "pose null": (posed(None), [ONE_OF_MANY, "4 rows of 4"]),
    "pose 2x4": (posed([[1.0] * 4] * 2), ["4 rows of 4"]),
    "pose 4x3": (posed([[1.0] * 3] * 4), ["4 rows of 4"]),
    "pose ragged": (posed([[1.0] * 4, [1.0] * 3, [1.0] * 4]), ["4 rows of 4"]),
    "pose of text": (posed([["1"] * 4] * 4), ["4 rows of 4"]),
    "pose of bools": (posed(np.eye(4, dtype=bool).tolist()), ["4 rows of 4"]),
    "pose nested": (posed([[[1.0]] * 4] * 4), ["4 rows of 4"]),
    "pose nan": (rotated([[float("nan"), 0, 0], [0, 1, 0], [0, 0, 1]]), ["not finite"]),
    "pose infinite": (rotated([[INFINITE, 0, 0], [0, 1, 0], [0, 0, 1]]), ["not finite"]),
    "pose huge": (rotated([[10**400, 0, 0], [0, 1, 0], [0, 0, 1]]), ["not finite"]),
    "pose far": (
        posed([[1, 0, 0, 1e30], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        [ONE_OF_MANY, "beyond 1e+08"],
    ),
    "pose zero": (rotated(np.zeros((3, 3)).tolist()), [ONE_OF_MANY, "not invertible"]),
    "pose flat": (rotated([[1, 0, 0], [0, 1, 0], [0, 0, 0]]), ["not invertible"]),
    "pose squashed": (rotated([[2, 0.1, 0], [0, 1, 0], [0, 0, 1]]), ["not a rotation", "length 1"]),
    "pose sheared": (rotated([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]]), ["not a rotation"]),
    "pose mirrored": (rotated([[-1, 0, 0], [0, 1, 0], [0, 0, 1]]), ["mirrored"]),
    "pose projective": (
        posed([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]),
        ["last row", "0 0 0 1"],
    ),
}


@pytest.mark.parametrize("name", BAD_DESCRIPTIONS)
def test_bad_descriptions(scene_dir, name):
    content, words = BAD_DESCRIPTIONS[name]
    (scene_dir.parent / "outside.png").write_bytes((scene_dir / "train/r_0.png").read_bytes())
    write_transforms(scene_dir, content)
    fails_in_one_line(scene_dir, "transforms_train.json", *words)


def test_a_description_in_another_encoding(scene_dir):
    (scene_dir / "transforms_train.json").write_bytes(b'{"camera": "\xff\xfe\xfa"}')
    fails_in_one_line(scene_dir, "transforms_train.json", "UTF-8")


def test_a_description_of_vast_size_is_not_read(scene_dir):
    with (scene_dir / "transforms_train.json").open("ab") as file:
        file.truncate(10 * 2**30)  # sparse: takes no room on the disk
    fails_in_one_line(scene_dir, "transforms_train.json", "larger than 32 MiB")


def test_a_description_that_is_a_folder(scene_dir):
    (scene_dir / "transforms_train.json").unlink()
    (scene_dir / "transforms_train.json").mkdir()
    fails_in_one_line(scene_dir, "transforms_train.json", "no such file")


def test_links_that_lead_out_need_permission(scene_dir):
    outside = scene_dir.parent / "outside.png"
    (scene_dir / "train" / "r_1.png").rename(outside)
    (scene_dir / "train" / "r_1.png").symlink_to(outside)
    fails_in_one_line(scene_dir, "frames[1]", "leads out")
    scene = load_split(scene_dir, "train", allow_external_paths=True)
    assert len(scene.images) == 3


def test_links_that_lead_in_a_ring_are_no_images(scene_dir):
    (scene_dir / "train" / "r_1.png").unlink()
    (scene_dir / "train" / "r_1.png").symlink_to(scene_dir / "train" / "r_1.png")
    with pytest.warns(SceneWarning, match=r"1 of 3 images are missing .*'\./train/r_1'"):
        assert len(load_split(scene_dir, "train")) == 2


@pytest.mark.parametrize("file_path", ["./train/r_9", "train", ".", "a\nb"])
def test_a_missing_image_is_left_out_with_a_warning(scene_dir, file_path):
    write_transforms(scene_dir, changed("frames", 1, "file_path", value=file_path))
    words = re.escape(f"1 of 3 images are missing and left out: {file_path!r}")
    with pytest.warns(SceneWarning, match=words):
        assert load_split(scene_dir, "train").names == ["r_0", "r_2"]


def test_images_of_another_size_are_named(scene_dir):
    Image.fromarray(random_rgba(8, 8)).save(scene_dir / "train" / "r_2.png")
    fails_in_one_line(scene_dir, "r_2.png: 8x8", "16x8", "r_0.png")


@pytest.mark.parametrize("view", [0, 2])
def test_broken_images_are_named(scene_dir, view):
    path = scene_dir / "train" / f"r_{view}.png"
    path.write_bytes(path.read_bytes()[:200])
    fails_in_one_line(scene_dir, path.name, "broken")


def test_unused_fields_may_hold_anything(scene_dir):
    transforms = changed("frames", 0, "rotation", value=float("nan"))
    transforms["note"] = {"deep": [[[None]]], "huge": 10**400}
    write_transforms(scene_dir, transforms)
    assert len(load_split(scene_dir, "train").images) == 3
