"""Images and masks that are elsewhere, in an archive, or of another shape than a scene says."""

import shutil
import warnings

import pytest
from colmap_makers import write_model
from folder_makers import (
    HEIGHT,
    NAMES,
    POSES,
    WIDTH,
    assert_poses_are,
    colmap_poses,
    train_poses,
    transforms,
    write_colmap,
    write_description,
)
from format_makers import write_images
from program_makers import write_metashape

from taichi_pynerf.data import load_split
from taichi_pynerf.data.authoring.inspection import inspect_scene
from taichi_pynerf.errors import SceneError, SceneWarning


def test_images_in_another_folder_than_the_file_says(tmp_path):
    names = [f"f{i}.png" for i in range(9)]
    for folder in ("raw/jpg", "depth_maps"):
        write_images(tmp_path / folder, names, WIDTH, HEIGHT)
    write_description(tmp_path, transforms())
    with pytest.warns(SceneWarning, match=r"9 of 9 image paths lead elsewhere.*raw/jpg/f0\.png"):
        scene = load_split(tmp_path, "train")
    assert_poses_are(scene, train_poses())


def test_photos_of_an_export_in_another_folder(tmp_path):
    folder = write_metashape(tmp_path / "scene", POSES)
    (folder / "images").rename(folder / "DCIM")
    with pytest.warns(SceneWarning, match=r"view_00 is DCIM/view_00\.png"):
        assert len(load_split(folder, "train")) == 7


def test_images_of_a_model_in_another_folder(tmp_path):
    write_colmap(tmp_path, images="my pictures")
    with pytest.warns(SceneWarning, match="9 of 9 images are in no usual place; those in my pict"):
        assert_poses_are(load_split(tmp_path, "train"), *colmap_poses())


@pytest.mark.parametrize("part", ["sparse/0", "sparse", "sparse/0/images.txt"])
def test_a_models_own_folder_is_answered_with_the_scene(tmp_path, part):
    write_colmap(tmp_path)
    with pytest.raises(SceneError, match=f"they are in {tmp_path}/images: give {tmp_path}$"):
        load_split(tmp_path / part, "train")


def test_images_that_were_never_rendered_are_not_those_of_another_split(tmp_path):
    names = [f"train/r_{i}.png" for i in range(9)]  # in a Blender scene all splits have these names
    write_images(tmp_path, names, WIDTH, HEIGHT)
    write_description(tmp_path, transforms(names), "transforms_train.json")
    tests = [name.replace("train", "test") for name in names]
    write_description(tmp_path, transforms(tests), "transforms_test.json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        assert inspect_scene(tmp_path).scene.split_names() == ["train"]


def test_images_in_an_archive_are_to_be_unpacked(tmp_path):
    write_description(tmp_path / "a", transforms())
    (tmp_path / "a/images.zip").write_bytes(b"PK")
    with pytest.raises(SceneError, match=r"none of its 9 images .*images\.zip is an archive: unpa"):
        load_split(tmp_path / "a", "train")
    write_model(tmp_path / "b/sparse/0", POSES, "PINHOLE")
    (tmp_path / "b/images.tar.gz").write_bytes(b"")
    with pytest.raises(SceneError, match=r"images\.tar\.gz is an archive: unpack it here"):
        load_split(tmp_path / "b", "train")


def test_masks_of_other_proportions_are_warned_of_before_training(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    masks = [f"f{i}.png" for i in range(9)]
    write_images(tmp_path / "masks", masks, 50, 20)
    write_description(tmp_path, transforms())
    found = inspect_scene(tmp_path).warnings()
    assert any("train: 8 masks have other proportions than their images" in x for x in found)
    shutil.rmtree(tmp_path / "masks")
    write_images(tmp_path / "masks", masks, 2 * WIDTH, 2 * HEIGHT)
    assert not any("masks" in line for line in inspect_scene(tmp_path).warnings())
