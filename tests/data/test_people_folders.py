"""Folders as people have them: small versions of what other programs write."""

import json
import warnings

import numpy as np
import pytest
from format_makers import (
    CENTER,
    assert_rays_are,
    circle_poses,
    file_rays,
    nerfstudio_transforms,
    write_images,
    write_llff_scene,
    write_nerfstudio_scene,
)
from PIL import Image
from scene_makers import blender_transforms, random_rgba, write_blender_scene

from taichi_pynerf.data import Placement, PyNeRFDataset, detect_dataset_type, load_split
from taichi_pynerf.data.formats import nerfstudio
from taichi_pynerf.data.image_files import image_names
from taichi_pynerf.data.loading import scene_splits
from taichi_pynerf.errors import SceneError, SceneWarning
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.runs.scene_source import SceneSource
from taichi_pynerf.training.scene_fit import check_rays_meet

ASKED = Placement(center="poses", auto_scale=True)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def frame(file_path, pose, **more):
    matrix = [*np.asarray(pose).tolist(), [0.0, 0.0, 0.0, 1.0]]
    return {"file_path": file_path, "transform_matrix": matrix, **more}


def quietly(function, *args, **options):
    """A call that must not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*args, **options)


# ---- one transform for a scene -----------------------------------------------------------------


def blender_at(folder, poses_of, shift=(0.0, 0.0, 0.0), images=True):
    """A Blender scene with the poses of each split, all moved by `shift`."""
    for split, poses in poses_of.items():
        frames = []
        for i, pose in enumerate(poses):
            pose = np.array(pose)
            pose[:, 3] += shift
            frames.append(frame(f"./{split}/r_{i}", pose))
        write_json(folder / f"transforms_{split}.json", {"camera_angle_x": 0.7, "frames": frames})
        if images:
            write_images(folder / split, [f"r_{i}.png" for i in range(len(poses))], 16, 8)
    return folder


def object_poses(num_views, radius=4.0):
    poses = circle_poses(num_views, radius)
    poses[:, :, 3] -= CENTER
    return poses


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


# ---- cameras -----------------------------------------------------------------------------------


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


# ---- masks -------------------------------------------------------------------------------------


def half_mask(mode="L", low=0, high=255):
    values = np.full((32, 18), low, dtype=np.uint8)
    values[:16] = high
    return Image.fromarray(values).convert(mode)


def kept(folder, name="0000", **options):
    dataset = PyNeRFDataset(folder, holdout=0, **options)
    mask = dataset.mask(dataset.names.index(name))
    return None if mask is None else mask.numpy()


@pytest.mark.parametrize(
    "place",
    [
        "masks/0000.png", "masks/0000.png.png", "mask/0000.png", "masks/images/0000.png",
        "images/0000_mask.png", "images/0000.mask.png", "images/0000.png.mask.png",
        "masks/0000_mask.png", "masks/0000.PNG",
    ],
)  # fmt: skip
def test_masks_of_other_programs_are_found(tmp_path, place):
    write_nerfstudio_scene(tmp_path, nerfstudio_transforms(circle_poses(2)))
    (tmp_path / place).parent.mkdir(exist_ok=True, parents=True)
    half_mask().save(tmp_path / place)
    with pytest.warns(SceneWarning, match="1 of 2 images have no mask"):
        mask = kept(tmp_path)
    assert mask[:16].all()
    assert not mask[16:].any()


def test_instant_ngps_masks_mean_the_contrary(tmp_path):
    write_nerfstudio_scene(tmp_path, nerfstudio_transforms(circle_poses(2)))
    half_mask().save(tmp_path / "images" / "dynamic_mask_0000.png")
    mask = kept(tmp_path)
    assert not mask[:16].any()
    assert mask[16:].all()


ENCODINGS = {
    "1-bit": half_mask("1"),
    "palette": half_mask("P"),
    "colour": half_mask("RGB"),
    "labels": half_mask(high=1),
    "alpha alone": Image.merge("LA", (Image.new("L", (18, 32)), half_mask())),
    "alpha of white": Image.merge("RGBA", (*[Image.new("L", (18, 32), 255)] * 3, half_mask())),
    "16-bit labels": Image.fromarray((np.asarray(half_mask()) > 0).astype(np.uint16)),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_masks_in_any_encoding(tmp_path, name):
    write_nerfstudio_scene(tmp_path, nerfstudio_transforms(circle_poses(2)))
    (tmp_path / "masks").mkdir()
    ENCODINGS[name].save(tmp_path / "masks" / "0000.png")
    mask = kept(tmp_path)
    assert mask[:16].all()
    assert not mask[16:].any()


def test_masks_as_jpeg_are_cut_in_the_middle(tmp_path):
    write_nerfstudio_scene(tmp_path, nerfstudio_transforms(circle_poses(2)))
    (tmp_path / "masks").mkdir()
    half_mask().save(tmp_path / "masks" / "0000.jpg", quality=30)
    mask = kept(tmp_path)
    assert mask[:15].all()
    assert not mask[17:].any()


def test_masks_of_no_image_are_named(tmp_path):
    write_nerfstudio_scene(tmp_path, nerfstudio_transforms(circle_poses(2)))
    (tmp_path / "masks").mkdir()
    half_mask().save(tmp_path / "masks" / "seg_0000.png")
    with pytest.warns(SceneWarning, match=r"1 of 1 masks are of no image .*seg_0000\.png"):
        assert kept(tmp_path) is None


def test_masks_lie_in_the_same_folders_as_images_of_equal_names(tmp_path):
    poses = circle_poses(2)
    transforms = nerfstudio_transforms(poses)
    for cam, entry in zip(("front", "back"), transforms["frames"], strict=True):
        entry["file_path"] = f"images/{cam}/0001.png"
        (tmp_path / "masks" / cam).mkdir(parents=True)
    write_nerfstudio_scene(tmp_path, transforms)
    half_mask().save(tmp_path / "masks" / "front" / "0001.png")
    Image.new("L", (18, 32), 255).save(tmp_path / "masks" / "back" / "0001.png")
    assert not kept(tmp_path, "front_0001").all()
    assert kept(tmp_path, "back_0001").all()


def test_a_fisheyes_circle(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(2), fisheye_crop_radius=8.0)
    write_nerfstudio_scene(tmp_path, transforms)
    mask = kept(tmp_path)
    rows, columns = np.mgrid[:32, :18] + 0.5
    np.testing.assert_array_equal(mask, np.hypot(rows - 16, columns - 9) <= 8.0)
    for path in (tmp_path / "images").iterdir():
        Image.fromarray(random_rgba(16, 9)[..., :3]).save(path)
    assert kept(tmp_path).sum() == pytest.approx(mask.sum() / 4, rel=0.15)


# ---- names and paths ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/a/cam0/0001.png", "/a/cam1/0001.png"], ["cam0_0001", "cam1_0001"]),
        (["a.jpg", "a.png"], ["a", "a_2"]),
        (["x.png", "x.png", "x_2.png"], ["x", "x_3", "x_2"]),
        (["A.png", "a.png"], ["A", "a_2"]),
        (["../../etc/passwd", "/..", "."], ["etc_passwd", "image", "image_2"]),
        (["images\\cam0\\f.png", "images\\cam1\\f.png"], ["cam0_f", "cam1_f"]),
        (["C:\\data\\r.png"], ["r"]),
        (["a:b?.png", "con.png", ".hidden"], ["a_b_", "_con", "hidden"]),
    ],
)
def test_names_are_safe_and_each_another(paths, names):
    assert image_names(paths) == names


def test_long_names_are_cut_and_stay_apart():
    names = image_names(["é" * 300 + ".png", "é" * 301 + ".png"])
    assert len({name.casefold() for name in names}) == 2
    assert all(len(name.encode()) < 130 for name in names)


def test_frames_of_one_file_path_have_names_of_their_own(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(3))
    transforms["frames"][1]["file_path"] = transforms["frames"][0]["file_path"]
    write_nerfstudio_scene(tmp_path, transforms)
    assert load_split(tmp_path, "train", holdout=0).names == ["0000", "0000_2", "0002"]


def test_windows_paths_everywhere(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(4))
    (tmp_path / "masks").mkdir()
    half_mask().save(tmp_path / "masks" / "0000.png")
    write_nerfstudio_scene(tmp_path, transforms)
    for entry in transforms["frames"]:
        entry["file_path"] = entry["file_path"].replace("/", "\\")
    transforms["frames"][0]["mask_path"] = "masks\\0000.png"
    transforms["train_filenames"] = ["images\\0000.png", "images/0001.png", "images\\0002.png"]
    transforms["test_filenames"] = [".\\images\\0003.png"]
    write_json(tmp_path / "transforms.json", transforms)
    scene = load_split(tmp_path, "train")
    assert scene.names == ["0000", "0001", "0002"]
    assert not scene.masks.all()
    assert load_split(tmp_path, "test").names == ["0003"]


@pytest.mark.parametrize(
    "written",
    [
        "/home/someone/else/images/{}", "C:\\Users\\someone\\images\\{}", "../../data/images/{}",
        "./..\\data\\scene\\images\\{}", "IMAGES/{}", "{}",
    ],
)  # fmt: skip
def test_paths_of_another_machine_get_the_files_of_these_names(tmp_path, written):
    transforms = nerfstudio_transforms(circle_poses(3))
    write_nerfstudio_scene(tmp_path / "scene", transforms)
    for i, entry in enumerate(transforms["frames"]):
        entry["file_path"] = written.format(f"{i:04d}.png")
    write_json(tmp_path / "scene" / "transforms.json", transforms)
    assert load_split(tmp_path / "scene", "train", holdout=0).names == ["0000", "0001", "0002"]


def test_paths_that_would_mean_one_file_mean_none(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(3))
    write_nerfstudio_scene(tmp_path / "scene", transforms)
    for cam, entry in zip("ab", transforms["frames"], strict=False):
        entry["file_path"] = f"/elsewhere/{cam}/0000.png"
    write_json(tmp_path / "scene" / "transforms.json", transforms)
    with pytest.warns(SceneWarning, match="2 of 3 images are missing"):
        assert load_split(tmp_path / "scene", "train").names == ["0002"]


@pytest.mark.parametrize("stored", ["0001.JPG", "0001.jpeg", "0001.png.png", "0001.webp"])
def test_suffixes_that_differ(tmp_path, stored):
    transforms = nerfstudio_transforms(circle_poses(2))
    write_nerfstudio_scene(tmp_path, transforms)
    picture = Image.open(tmp_path / "images" / "0001.png")
    picture.load()
    (tmp_path / "images" / "0001.png").unlink()
    picture.save(tmp_path / "images" / stored)
    assert "0001" in load_split(tmp_path, "train", holdout=0).names


# ---- splits ------------------------------------------------------------------------------------


def test_poses_that_were_never_rendered(tmp_path):
    """BlenderNeRF: train images, and a transforms_test.json without images."""
    blender_at(tmp_path, {"train": object_poses(4)})
    blender_at(tmp_path, {"test": object_poses(7, radius=3.0)}, images=False)
    with pytest.warns(SceneWarning, match="none of its 7 images is there: these are poses"):
        assert scene_splits(tmp_path) == ["train"]
    assert len(load_split(tmp_path, "train")) == 4
    with pytest.raises(SceneError, match="poses alone"):
        load_split(tmp_path, "test")
    source = SceneSource(str(tmp_path), img_downscale=2)
    assert source.splits(with_images=False) == ["test"]
    assert source.load_or_none("test") is None
    views = source.views("test")
    assert views.names == [f"r_{i}" for i in range(7)]
    assert (views.cameras.width.tolist(), views.cameras.height.tolist()) == ([8] * 7, [4] * 7)
    assert (views.near, views.far) == (load_split(tmp_path, "train").near, views.far)


def test_no_training_image_at_all_is_an_error(tmp_path):
    blender_at(tmp_path, {"train": object_poses(4)}, images=False)
    with pytest.raises(SceneError, match="none of its 4 images is there"):
        load_split(tmp_path, "train")


def test_test_filenames_alone(tmp_path):
    lists = {"test_filenames": ["images/0001.png"]}
    write_nerfstudio_scene(tmp_path, nerfstudio_transforms(circle_poses(4), **lists))
    with pytest.warns(SceneWarning, match="the 3 frames that are in no other list train"):
        assert load_split(tmp_path, "train").names == ["0000", "0002", "0003"]
    assert load_split(tmp_path, "test").names == ["0001"]


def test_holdout_has_the_say(tmp_path):
    write_nerfstudio_scene(tmp_path / "a", nerfstudio_transforms(circle_poses(6)))
    write_llff_scene(tmp_path / "b", circle_poses(6))
    for folder in ("a", "b"):
        assert len(load_split(tmp_path / folder, "train", holdout=0)) == 6
        assert scene_splits(tmp_path / folder, holdout=0) == ["train"]
        assert len(load_split(tmp_path / folder, "test", holdout=3)) == 2
        assert len(load_split(tmp_path / folder, "train", holdout=3)) == 4
    blender_at(tmp_path / "c", {"train": object_poses(4)})
    assert load_split(tmp_path / "c", "test", holdout=2).names == ["r_0", "r_2"]
    blender_at(tmp_path / "c", {"test": object_poses(2)})
    with pytest.raises(SceneError, match="comes with splits of its own, test, train"):
        load_split(tmp_path / "c", "train", holdout=2)


# ---- which format ------------------------------------------------------------------------------


def test_other_json_files_beside_a_scene(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(4))
    write_nerfstudio_scene(tmp_path, transforms)
    write_json(tmp_path / "transforms_original.json", transforms)
    write_json(tmp_path / "metadata.json", {"title": "my scan", "device": {"name": "phone"}})
    assert quietly(detect_dataset_type, tmp_path) == "nerfstudio"


def test_of_two_formats_that_fit_one_is_taken_and_the_other_named(tmp_path):
    write_nerfstudio_scene(tmp_path, nerfstudio_transforms(circle_poses(4)))
    write_json(tmp_path / "transforms_train.json", nerfstudio_transforms(circle_poses(4)))
    words = r"read as blender, .*transforms_train\.json; .*--dataset_type nerfstudio"
    with pytest.warns(SceneWarning, match=words):
        assert detect_dataset_type(tmp_path) == "blender"


def test_a_file_stands_for_its_folder(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(4))
    write_nerfstudio_scene(tmp_path / "a", transforms)
    assert len(load_split(tmp_path / "a" / "transforms.json", "train")) == 3
    (tmp_path / "a" / "transforms.json").rename(tmp_path / "a" / "cameras_final.json")
    with pytest.raises(SceneError, match=r"cameras_final\.json itself to load it"):
        load_split(tmp_path / "a", "train")
    assert len(load_split(tmp_path / "a" / "cameras_final.json", "train")) == 3
    write_blender_scene(tmp_path / "b")
    assert len(load_split(tmp_path / "b" / "transforms_train.json", "train")) == 3


def test_a_folder_above_or_below_the_scene_is_answered_with_its_place(tmp_path):
    write_blender_scene(tmp_path / "all" / "lego")
    write_nerfstudio_scene(
        tmp_path / "all" / "deep" / "fox", nerfstudio_transforms(circle_poses(2))
    )
    with pytest.raises(SceneError, match=r"scenes are in its folders: lego \(blender\), deep/fox"):
        load_split(tmp_path / "all", "train")
    with pytest.raises(SceneError, match=r"the folder above is a scene \(blender\): give .*lego"):
        load_split(tmp_path / "all" / "lego" / "train", "train")


def test_photos_without_cameras_are_sent_to_photos_to_scene(tmp_path):
    write_images(tmp_path, ["a.jpg", "b.JPG", "c.png"], 8, 8)
    with pytest.raises(SceneError, match=r"2 \.jpg, 1 \.png without cameras: .*pynerf-photos"):
        load_split(tmp_path, "train")


def test_images_of_no_frame_are_counted(tmp_path):
    write_nerfstudio_scene(tmp_path, nerfstudio_transforms(circle_poses(3)))
    write_images(tmp_path / "images", ["9000.png", "9001.png"], 18, 32)
    (tmp_path / "images" / "a.cr2").write_bytes(b"raw")
    with pytest.warns(SceneWarning) as caught:
        load_split(tmp_path, "train")
    said = " ".join(str(warning.message) for warning in caught)
    assert "2 of 6 images" in said
    assert "1 of 6 images" in said
    assert "1 .cr2" in said


def test_images_in_folders_have_reduced_ones_in_folders(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(2))
    for cam, entry in zip(("front", "back"), transforms["frames"], strict=True):
        entry["file_path"] = f"images/{cam}/0001.png"
        write_images(tmp_path / "images_2" / cam, ["0001.png"], 9, 16)
    write_nerfstudio_scene(tmp_path, transforms)
    source = SceneSource(str(tmp_path), img_downscale=2, holdout=0)
    assert {str(p.relative_to(tmp_path)) for p in source.files("train").image_paths} == {
        "images_2/front/0001.png", "images_2/back/0001.png",
    }  # fmt: skip


def test_llff_images_in_other_folders_and_reduced_alone(tmp_path):
    write_llff_scene(tmp_path, circle_poses(9))
    (tmp_path / "images").rename(tmp_path / "input")
    assert len(load_split(tmp_path, "train")) == 7
    for path in (tmp_path / "input").iterdir():
        with Image.open(path) as image:
            small = image.reduce(4)
        small.save(path)
    (tmp_path / "input").rename(tmp_path / "images_4")
    with pytest.warns(SceneWarning, match="images at 1/4 of the full size alone"):
        scene = load_split(tmp_path, "train")
    assert scene.images[0].shape == (6, 8, 3)
    assert scene.cameras.fx[0].item() == pytest.approx(30.0 / 4)
    assert load_split(tmp_path, "train", img_downscale=8).images[0].shape == (3, 4, 3)


def test_a_blender_scene_that_says_it_goes_on_outside(tmp_path):
    write_blender_scene(tmp_path)
    transforms = blender_transforms() | {"aabb_scale": 4}
    write_json(tmp_path / "transforms_train.json", transforms)
    assert not load_split(tmp_path, "train").unbounded  # its images are cut out
    for path in (tmp_path / "train").iterdir():
        Image.fromarray(random_rgba(8, 16)[..., :3]).save(path)
    assert load_split(tmp_path, "train").unbounded


def test_a_scene_is_parsed_once_until_a_file_changes(tmp_path, monkeypatch):
    write_nerfstudio_scene(tmp_path, nerfstudio_transforms(circle_poses(10)))
    reads = []
    read = nerfstudio.read
    monkeypatch.setattr(nerfstudio, "read", lambda *args: reads.append(1) or read(*args))
    source = SceneSource(str(tmp_path))
    source.splits()
    for split in ("train", "val", "test"):
        source.files(split)
        source.load(split)
    assert len(reads) == 1
    (tmp_path / "images" / "0003.png").unlink()
    assert len(source.files("train").names) == 8
    write_json(tmp_path / "transforms.json", nerfstudio_transforms(circle_poses(5)))
    assert len(source.files("train").names) == 3
    assert len(reads) == 3
