"""Names, paths and splits as people have them."""

import pytest
from format_makers import (
    circle_poses,
    nerfstudio_transforms,
    write_llff_scene,
    write_nerfstudio_scene,
)
from people_makers import blender_at, half_mask, object_poses, write_json
from PIL import Image

from taichi_pynerf.data import load_split
from taichi_pynerf.data.image_files import image_names
from taichi_pynerf.data.loading import scene_splits
from taichi_pynerf.errors import SceneError, SceneWarning
from taichi_pynerf.runs.scene_source import SceneSource


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
