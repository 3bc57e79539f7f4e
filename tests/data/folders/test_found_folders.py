"""Folders of other programs: files in other places, and written in other ways."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from folder_makers import (
    HEIGHT,
    NAMES,
    POSES,
    WIDTH,
    assert_poses_are,
    quietly,
    train_poses,
    transforms,
    write_description,
)
from format_makers import forward_poses, write_images, write_llff_scene
from PIL import Image
from program_makers import write_realitycapture

from taichi_pynerf.data import load_split
from taichi_pynerf.data.authoring.inspection import inspect_scene
from taichi_pynerf.data.formats.photos import image_folder
from taichi_pynerf.data.images import box_downscale, decode_image
from taichi_pynerf.errors import SceneError, SceneWarning

# ---- where files are -----------------------------------------------------------------------------


def test_images_beside_the_folder_of_the_description(tmp_path):
    write_images(tmp_path / "scene", NAMES, WIDTH, HEIGHT)
    content = transforms([f"../{name}" for name in NAMES])
    folder = write_description(tmp_path / "scene", content, "nerf/transforms.json")
    with pytest.warns(SceneWarning, match="9 of 9 files are not in this folder but beside it"):
        scene = load_split(folder, "train")
    assert_poses_are(scene, train_poses())
    assert inspect_scene(folder).contents()


def small_of(folder):
    """The first training image at half of the size."""
    return quietly(folder, "train", img_downscale=2, holdout=0).images[0]


@pytest.mark.parametrize("inner", ["", "images/"])
def test_another_scene_beside_it_holds_no_reduced_copies(tmp_path, inner):
    names = [f"{inner}f{i}.png" for i in range(9)]
    write_images(tmp_path / "walk", names, WIDTH, HEIGHT)
    write_images(tmp_path / "walk_2", names, WIDTH // 2, HEIGHT // 2)
    folder = write_description(tmp_path / "walk", transforms(names))
    own = box_downscale(decode_image(folder / names[0], channels=3), 2)
    np.testing.assert_array_equal(small_of(folder), own)


def test_reduced_images_of_other_scenes_are_not_a_scenes_own(tmp_path):
    write_images(tmp_path / "images_2", ["a.png"], WIDTH, HEIGHT)
    (tmp_path / "scene").mkdir()
    with pytest.raises(SceneError, match="none of its 1 images"):
        image_folder(tmp_path / "scene", 2, ["a.png"], ["."])


def test_images_beside_the_folder_have_reduced_copies_there(tmp_path):
    write_images(tmp_path / "scene", NAMES, WIDTH, HEIGHT)
    write_images(
        tmp_path / "scene/images_2", [Path(name).name for name in NAMES], WIDTH // 2, HEIGHT // 2
    )
    content = transforms([f"../{name}" for name in NAMES])
    folder = write_description(tmp_path / "scene", content, "nerf/transforms.json")
    there = decode_image(tmp_path / "scene/images_2/f0.png", channels=3)
    np.testing.assert_array_equal(small_of(folder), there)


def test_other_folders_beside_the_scene_and_links_to_them_stay_closed(tmp_path):
    write_images(tmp_path, [f"private/f{i}.png" for i in range(9)], WIDTH, HEIGHT)
    content = transforms([f"../private/f{i}.png" for i in range(9)])
    folder = write_description(tmp_path / "scene", content)
    with pytest.raises(SceneError, match=r"leads out of .*--allow_external_paths"):
        load_split(folder, "train")
    assert len(quietly(folder, "train", allow_external_paths=True)) == 8
    (tmp_path / "scene/images").symlink_to(tmp_path / "private")
    write_description(tmp_path / "scene", transforms())
    with pytest.raises(SceneError, match="leads out of"):
        load_split(folder, "train")
    (tmp_path / "images").symlink_to(tmp_path / "private")  # a usual name, and a link
    write_description(tmp_path / "scene", transforms([f"../{name}" for name in NAMES]))
    with pytest.raises(SceneError, match="leads out of"):
        load_split(folder, "train")


def test_files_that_macos_and_windows_leave(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    write_description(tmp_path, transforms())
    (tmp_path / "__MACOSX/images").mkdir(parents=True)
    for name in ("._transforms.json", "._transforms_train.json", "images/Thumbs.db",
                 "images/.DS_Store", "__MACOSX/images/._f0.png",
                 *(f"images/._f{i}.png" for i in range(9))):  # fmt: skip
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_poses_are(load_split(tmp_path, "train"), train_poses())


def test_forks_of_macos_are_no_views_of_llff(tmp_path):
    write_llff_scene(tmp_path, forward_poses(9))
    for i in range(9):
        (tmp_path / f"images/._view_{i:03d}.png").write_bytes(b"\x00\x05\x16\x07")
    assert len(load_split(tmp_path, "train")) == 7


def test_spaces_and_line_ends_around_paths(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    write_description(tmp_path, transforms([f" {name} \n" for name in NAMES]))
    assert_poses_are(quietly(tmp_path, "train"), train_poses())


def test_scannetpp(tmp_path):
    names = [f"DSC{i}.JPG" for i in range(9)]
    write_images(tmp_path / "dslr/resized_images", names, WIDTH, HEIGHT)
    masks = tmp_path / "dslr/resized_anon_masks"
    masks.mkdir()
    for i in range(9):
        mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
        mask[:4] = 0
        Image.fromarray(mask).save(masks / f"DSC{i}.png")
    content = transforms(names)
    for i, frame in enumerate(content["frames"]):
        frame["mask_path"] = f"DSC{i}.png"
    content["test_frames"] = content["frames"][7:]
    content["frames"] = content["frames"][:7]
    folder = write_description(tmp_path, content, "dslr/nerfstudio/transforms.json")
    train, test = quietly(folder, "train"), quietly(folder, "test")
    assert_poses_are(train, POSES[:7])
    assert_poses_are(test, POSES[7:])
    assert not train.masks.reshape(7, HEIGHT, WIDTH)[:, :4].any()
    assert train.masks.reshape(7, HEIGHT, WIDTH)[:, 4:].all()


# ---- what is written -----------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_json_as_windows_writes_it(tmp_path, encoding):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    write_description(tmp_path, transforms(), encoding=encoding)
    assert_poses_are(load_split(tmp_path, "train"), train_poses())


def test_tables_in_utf_16(tmp_path):
    folder = write_realitycapture(tmp_path, POSES)
    text = (folder / "cameras.csv").read_text(encoding="utf-8-sig")
    (folder / "cameras.csv").write_text(text, encoding="utf-16")
    assert len(load_split(folder, "train")) == 7
    (folder / "cameras.csv").write_bytes(text.replace("view", "größe").encode("cp1252"))
    with pytest.raises(SceneError, match=r"cameras\.csv: not text in UTF-8; an editor can save"):
        load_split(folder, "train")


@pytest.mark.parametrize("name", ["camera_intrinsics", "intrinsics", "K"])
def test_intrinsics_as_a_matrix(tmp_path, name):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    content = transforms(**{name: [[21.0, 0, 11.0], [0, 22.0, 9.0], [0, 0, 1]]})
    for member in ("fl_x", "fl_y", "cx", "cy"):
        del content[member]
    write_description(tmp_path, content)
    scene = load_split(tmp_path, "train")
    assert_poses_are(scene, train_poses(), (WIDTH, HEIGHT, 21.0, 22.0, 11.0, 9.0))
    content[name] = [["a"] * 3] * 3
    write_description(tmp_path, content)
    with pytest.raises(SceneError, match=r"frames\[0\]: fl_x is 'a'"):
        load_split(tmp_path, "train")


def test_scenes_that_move_are_told(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    content = transforms()
    for i, frame in enumerate(content["frames"]):
        frame["time"] = i / 8
    write_description(tmp_path, content)
    with pytest.warns(SceneWarning, match="frames of 9 times: what moves between them"):
        load_split(tmp_path, "train")


def test_json_that_was_edited_by_hand_is_refused_at_its_place(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    write_description(tmp_path, transforms())
    text = (tmp_path / "transforms.json").read_text()
    (tmp_path / "transforms.json").write_text(f"// my scene\n{text}")
    with pytest.raises(SceneError, match=r"transforms\.json: broken JSON at line 1, column 1"):
        load_split(tmp_path, "train")
