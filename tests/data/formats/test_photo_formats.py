"""Multi-scale Blender, LLFF, COLMAP and Mip-NeRF 360 folders with known cameras."""

import json
import math

import numpy as np
import pytest
import torch
from format_makers import (
    assert_rays_are,
    circle_poses,
    file_rays,
    forward_poses,
    multiscale_metadata,
    nerfstudio_transforms,
    poses_bounds,
    write_images,
    write_llff_scene,
    write_nerfstudio_scene,
)
from PIL import Image
from scene_makers import random_rgba

from taichi_pynerf.data import MultiScaleDataset, Placement, detect_dataset_type, load_split
from taichi_pynerf.data.images import decode_image
from taichi_pynerf.data.loading import scene_splits
from taichi_pynerf.errors import SceneError


@pytest.fixture
def multiscale_dir(tmp_path):
    poses = circle_poses(3)
    metadata = {split: multiscale_metadata(poses, split) for split in ("train", "test")}
    for columns in metadata.values():
        for i, (name, w, h) in enumerate(
            zip(columns["file_path"], columns["width"], columns["height"], strict=True)
        ):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            Image.fromarray(random_rgba(h, w, seed=i)).save(tmp_path / name)
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    return tmp_path


def test_multiscale_blender(multiscale_dir):
    assert detect_dataset_type(multiscale_dir) == "multiscale-blender"
    assert scene_splits(multiscale_dir) == ["test", "train"]
    scene = load_split(multiscale_dir, "train", scales=[1, 2, 4, 8])
    assert scene.scales.tolist() == [1] * 3 + [2] * 3 + [4] * 3 + [8] * 3
    assert scene.pixel_weights.tolist() == [1.0] * 3 + [4.0] * 3 + [16.0] * 3 + [64.0] * 3
    assert scene.names == ["000", "001", "002"] * 4
    assert (scene.near, scene.far) == (2.0, 6.0)
    assert scene.aabb == (-1.5,) * 3 + (1.5,) * 3
    assert not scene.unbounded
    poses = circle_poses(3)
    for view, (i, j) in {1: (1, 0), 5: (2, 1), 9: (0, 3)}.items():
        w, h, f = 16 // 2**j, 8 // 2**j, 20.0 / 2**j
        assert_rays_are(scene, view, *file_rays(poses[i], w, h, f, f, 0.5 * w, 0.5 * h))
        path = multiscale_dir / "images_train" / f"{i:03d}_d{j}.png"
        np.testing.assert_array_equal(scene.images[view], decode_image(path))


def test_multiscale_blender_gives_the_scales_that_are_asked_for(multiscale_dir):
    assert len(load_split(multiscale_dir, "test")) == 3
    two = MultiScaleDataset(data_dir=multiscale_dir, split="test", scales=[2, 8])
    assert two.scales.tolist() == [2, 2, 2, 8, 8, 8]
    half = load_split(multiscale_dir, "test", img_downscale=2, scales=[1, 2, 4])
    assert half.cameras.width.tolist() == [8] * 3 + [4] * 3 + [2] * 3
    with pytest.raises(SceneError, match=r"no images at the scales \[3\]"):
        load_split(multiscale_dir, "test", scales=[1, 3])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("label", 1.5, "label must be a whole number"),
        ("label", -1, "label is -1.0"),
        ("lossmult", 0, "lossmult is 0.0"),
        ("pix2cam", [[1, 2], [3, 4]], "3 rows of 3"),
        ("pix2cam", [[1, 0, 0], [0, 1, 0], [0, 0, -1]], "pix2cam must be"),
        ("cam2world", None, "cam2world must be"),
        ("near", 7, "near must be less than far"),
        ("file_path", "images_train/none.png", "no image 'images_train/none.png'"),
        ("width", "wide", "width is 'wide'"),
    ],
)
def test_multiscale_blender_names_what_is_wrong(multiscale_dir, name, value, words):
    path = multiscale_dir / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["train"][name][2] = value
    path.write_text(json.dumps(metadata))
    with pytest.raises(SceneError, match=words):
        load_split(multiscale_dir, "train")
    metadata["train"][name].pop()
    path.write_text(json.dumps(metadata))
    with pytest.raises(SceneError, match=r"metadata\.json: train"):
        load_split(multiscale_dir, "train")


def test_llff(tmp_path):
    poses = forward_poses(9)
    write_llff_scene(tmp_path, poses)
    assert detect_dataset_type(tmp_path) == "llff"
    test = load_split(tmp_path, "test")
    assert test.names == ["view_000", "view_008"]
    assert load_split(tmp_path, "val").names == test.names
    train = load_split(tmp_path, "train")
    assert train.names == [f"view_{i:03d}" for i in range(1, 8)]
    for view in (0, 6):
        expected = file_rays(poses[view + 1], 32, 24, 30.0, 30.0, 16.0, 12.0)
        assert_rays_are(train, view, *expected)
    assert train.unbounded
    scale = train.transform.scale
    assert train.near == pytest.approx(0.9 * 2.0 * scale)
    assert train.far == pytest.approx(2.0 * 20.0 * scale)
    # Recentred: the mean camera looks along +y, z up; the box begins where the near bound ends.
    all_poses = torch.cat([train.cameras.c2w, test.cameras.c2w])
    forward = -all_poses[:, :, 2].mean(dim=0)
    torch.testing.assert_close(
        forward / forward.norm(), torch.tensor([0.0, 1.0, 0.0]), atol=1e-5, rtol=0
    )
    assert all_poses[:, 2, 1].mean() > 0.99
    mean = all_poses[:, :, 3].mean(dim=0)
    torch.testing.assert_close(mean, torch.tensor([0.0, -1.0 - train.near, 0.0]), atol=1e-5, rtol=0)


def test_llff_uses_reduced_folders_and_the_order_of_their_files(tmp_path):
    write_llff_scene(tmp_path, forward_poses(9))
    names = [f"image{i:03d}.png" for i in range(9)]
    write_images(tmp_path / "images_8", names, 4, 3)
    scene = load_split(tmp_path, "train", img_downscale=8)
    assert scene.names[0] == "view_001"
    expected = decode_image(tmp_path / "images_8" / "image001.png", channels=3)
    np.testing.assert_array_equal(scene.images[0], expected)
    assert scene.cameras.fx[0].item() == pytest.approx(30.0 / 8)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    (tmp_path / "images").rmdir()
    alone = load_split(tmp_path, "train", img_downscale=8)
    assert alone.names[0] == "image001"
    assert alone.cameras.fx[0].item() == pytest.approx(30.0 / 8)


def test_folders_with_the_longest_names(tmp_path):
    """Beside them, folders are looked for whose names would be too long: `NAME_2`."""
    scene = tmp_path / ("ü" * 127)
    write_nerfstudio_scene(scene, nerfstudio_transforms(circle_poses(4), width=6, height=8))
    assert detect_dataset_type(scene) == "nerfstudio"
    assert load_split(scene, "train", img_downscale=2).images[0].shape[:2] == (4, 3)


def test_llff_never_writes_into_the_folder(tmp_path, monkeypatch):
    scene_dir = write_llff_scene(tmp_path / "scene", forward_poses(9))
    monkeypatch.setenv("TAICHI_PYNERF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("taichi_pynerf.data.loading.CACHE_FROM_PIXELS", 100)
    before = sorted(scene_dir.rglob("*"))
    first = load_split(scene_dir, "train", img_downscale=5)
    assert (first.cameras.width[0].item(), first.cameras.height[0].item()) == (6, 4)
    assert sorted(scene_dir.rglob("*")) == before
    kept = list((tmp_path / "cache" / "pixels").iterdir())
    assert len(kept) == 1
    monkeypatch.setattr("taichi_pynerf.data.loading.decode_images", None)
    again = load_split(scene_dir, "train", img_downscale=5)
    np.testing.assert_array_equal(again.pixels, first.pixels)
    kept[0].write_bytes(b"broken")
    monkeypatch.undo()
    monkeypatch.setenv("TAICHI_PYNERF_CACHE", str(tmp_path / "cache"))
    np.testing.assert_array_equal(
        load_split(scene_dir, "train", img_downscale=5).pixels, first.pixels
    )


def test_llff_wants_as_many_images_as_poses(tmp_path):
    write_llff_scene(tmp_path, forward_poses(9))
    (tmp_path / "images" / "view_003.png").unlink()
    with pytest.raises(SceneError, match=r"has 8 images, and .* poses of 9"):
        load_split(tmp_path, "train")


def broken_bounds():
    good = poses_bounds(forward_poses(9), 32, 24, 30.0)

    def with_value(row, column, value):
        bad = good.copy()
        bad[row, column] = value
        return bad

    return {
        "columns": (good[:, :16], "17 numbers"),
        "empty": (good[:0], "not an array|17 numbers"),
        "one row": (good[0], "17 numbers"),
        "complex": (good.astype(complex), "array of numbers"),
        "text": (good.astype(str), "array of numbers"),
        "nan": (with_value(3, 2, math.nan), "not finite"),
        "near": (with_value(2, 15, -1.0), "row 2: the nearest depth is -1"),
        "order": (with_value(2, 15, 30.0), "row 2: the farthest depth is no greater"),
        "focal": (with_value(4, 14, 0.0), "row 4: the focal length is 0"),
        "rotation": (with_value(1, 0, 3.0), "row 1: the pose is not a rotation"),
    }


@pytest.mark.parametrize("name", broken_bounds())
def test_bad_poses_bounds_are_named(tmp_path, name):
    write_llff_scene(tmp_path, forward_poses(9))
    rows, words = broken_bounds()[name]
    np.save(tmp_path / "poses_bounds.npy", rows)
    with pytest.raises(SceneError, match=words) as caught:
        load_split(tmp_path, "train", dataset_type="llff")
    assert "poses_bounds.npy" in str(caught.value)


def test_pickles_are_not_run(tmp_path):
    write_llff_scene(tmp_path, forward_poses(9))
    np.save(tmp_path / "poses_bounds.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(SceneError, match="not an array"):
        load_split(tmp_path, "train")


def test_a_header_that_claims_too_much_is_not_believed(tmp_path):
    write_llff_scene(tmp_path, forward_poses(9))
    path = tmp_path / "poses_bounds.npy"
    data = path.read_bytes()
    claim = b"'shape': (999999999999, 17), }"
    start, end = data.index(b"'shape'"), data.index(b"}") + 1
    path.write_bytes(data[:start] + claim + data[end + len(claim) - (end - start) :])
    with pytest.raises(SceneError, match="not an array"):
        load_split(tmp_path, "train")


def test_mipnerf360_without_a_sparse_model(tmp_path):
    poses = circle_poses(9)
    write_llff_scene(tmp_path, poses)
    assert detect_dataset_type(tmp_path) == "mipnerf360"
    scene = load_split(tmp_path, "train")
    assert scene.unbounded
    assert_rays_are(scene, 0, *file_rays(poses[1], 32, 24, 30.0, 30.0, 16.0, 12.0))
    assert scene.cameras.c2w[:, :, 3].abs().max() <= 1.0 + 1e-5
    # Centred where the cameras look.
    centre = scene.transform.apply(np.array([5.0, -2.0, 1.0]))
    np.testing.assert_allclose(centre, 0.0, atol=1e-6)
    as_it_is = Placement(orientation="none", center="none", auto_scale=False)
    raw = load_split(tmp_path, "train", placement=as_it_is)
    np.testing.assert_allclose(raw.cameras.c2w[0].numpy(), poses[1], atol=1e-6)
