"""Masks as other programs write them."""

import numpy as np
import pytest
from format_makers import (
    circle_poses,
    nerfstudio_transforms,
    write_nerfstudio_scene,
)
from people_makers import half_mask
from PIL import Image
from scene_makers import random_rgba

from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.errors import SceneWarning


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
