"""Which format a folder is in, and what of it is read."""

import json

import pytest
from format_makers import (
    circle_poses,
    nerfstudio_transforms,
    write_images,
    write_llff_scene,
    write_nerfstudio_scene,
)
from people_makers import quietly, write_json
from PIL import Image
from scene_makers import blender_transforms, random_rgba, write_blender_scene

from taichi_pynerf.data import detect_dataset_type, load_split
from taichi_pynerf.data.formats import nerfstudio
from taichi_pynerf.data.loading import read_scene_files
from taichi_pynerf.data.scene_files import LoadOptions
from taichi_pynerf.errors import SceneError, SceneWarning
from taichi_pynerf.runs.scene_source import SceneSource


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


def test_scenes_beside_are_no_idle_images_whatever_the_folder_above_is_called(tmp_path, recwarn):
    transforms = nerfstudio_transforms(circle_poses(4))
    for name in ("castle", "tree"):
        write_nerfstudio_scene(tmp_path / "photos/train" / name, transforms)
    load_split(tmp_path / "photos/train/castle", "train")
    assert not [str(w.message) for w in recwarn if "not used" in str(w.message)]
    write_images(tmp_path / "photos/train/castle/images/more", ["a.png"], 18, 32)
    with pytest.warns(SceneWarning, match=r"1 of 5 images in .*castle/images are of no view"):
        load_split(tmp_path / "photos/train/castle", "train")


@pytest.mark.parametrize(("asked", "taken", "width"), [(1, 4, 40), (4, 4, 40), (8, 8, 20)])
def test_images_at_reduced_sizes_alone(tmp_path, recwarn, asked, taken, width):
    transforms = nerfstudio_transforms(circle_poses(4), 160, 80)
    names = [frame["file_path"] for frame in transforms["frames"]]
    assert all(name.startswith("images/") for name in names)
    (tmp_path / "transforms.json").write_text(json.dumps(transforms))
    for k in (4, 8):
        reduced = [name.replace("images/", f"images_{k}/") for name in names]
        write_images(tmp_path, reduced, 160 // k, 80 // k)
    files = read_scene_files(tmp_path, "train", None, LoadOptions(asked))
    assert {path.parent.name for path in files.image_paths} == {f"images_{taken}"}
    scene = load_split(tmp_path, "train", img_downscale=asked)
    assert scene.cameras.width.tolist() == [width] * 3
    whole = transforms["fl_x"] / 160
    assert scene.cameras.fx.tolist() == pytest.approx([whole * width] * 3)
    told = [str(w.message) for w in recwarn if "taken as they are" in str(w.message)]
    assert len(told) == (asked == 1)


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
