import json
import math
import warnings

import numpy as np
import pytest
import torch
from format_makers import (
    PHONE,
    assert_rays_are,
    circle_poses,
    file_rays,
    nerfstudio_transforms,
    write_images,
    write_nerfstudio_scene,
)
from PIL import Image
from plyfile import PlyData, PlyElement
from scene_makers import random_rgba

from taichi_pynerf.data import Placement, detect_dataset_type, load_split
from taichi_pynerf.data.formats import sparse_points
from taichi_pynerf.data.images import decode_image
from taichi_pynerf.data.loading import scene_splits
from taichi_pynerf.errors import MissingPackageError, SceneError, SceneWarning

NUM_VIEWS = 20
HELD_OUT = ["0009", "0018"]  # by nerfstudio's rule: 18 of 20, evenly spaced, from 0 to 19


@pytest.fixture
def poses():
    return circle_poses(NUM_VIEWS)


@pytest.fixture
def scene_dir(tmp_path, poses):
    return write_nerfstudio_scene(tmp_path / "scene", nerfstudio_transforms(poses))


def rewrite(scene_dir, transforms):
    (scene_dir / "transforms.json").write_text(json.dumps(transforms))


def lens_of(entry):
    return [entry.get(name, 0.0) for name in ("k1", "k2", "k3", "k4", "p1", "p2")]


def expected_rays(pose, entry, fisheye=False):
    return file_rays(
        pose,
        *(entry[name] for name in ("w", "h", "fl_x", "fl_y", "cx", "cy")),
        lens_of(entry),
        fisheye,
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_rays_are_the_analytic_ones(scene_dir, poses, split):
    scene = load_split(scene_dir, split)
    transforms = nerfstudio_transforms(poses)
    assert len(scene) == {"train": 18, "test": 2}[split]
    for view in (0, len(scene) - 1):
        pose = poses[int(scene.names[view])]
        assert_rays_are(scene, view, *expected_rays(pose, transforms))


def test_a_fisheye_and_a_frame_with_a_lens_of_its_own(scene_dir, poses):
    transforms = nerfstudio_transforms(poses, camera_model="OPENCV_FISHEYE", aabb_scale=16)
    for name in PHONE:
        del transforms[name]
    transforms |= {"k1": 0.02, "k2": -0.01, "k3": 0.003, "k4": -0.0005}
    own = {"camera_model": "OPENCV", "fl_x": 30.0, "cx": 7.5, "k1": -0.1, "k2": 0.0}
    transforms["frames"][3] |= own
    rewrite(scene_dir, transforms)
    scene = load_split(scene_dir, "train")
    assert_rays_are(scene, 2, *expected_rays(poses[2], transforms, fisheye=True))
    assert_rays_are(scene, 3, *expected_rays(poses[3], transforms | own))
    assert scene.cameras.fisheye.sum() == 17


def test_intrinsics_from_angles(scene_dir, poses):
    transforms = nerfstudio_transforms(poses)
    for name in ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_model", *PHONE):
        del transforms[name]
    rewrite(scene_dir, transforms | {"camera_angle_x": 0.8})
    cameras = load_split(scene_dir, "train").cameras
    assert cameras.fx[0].item() == pytest.approx(9.0 / math.tan(0.4))
    assert torch.equal(cameras.fx, cameras.fy)
    assert (cameras.cx[0].item(), cameras.cy[0].item()) == (9.0, 16.0)
    assert cameras.distortion is None
    assert cameras.fisheye is None
    rewrite(scene_dir, transforms | {"camera_angle_x": 0.8, "camera_angle_y": 1.2})
    cameras = load_split(scene_dir, "train").cameras
    assert cameras.fy[0].item() == pytest.approx(16.0 / math.tan(0.6))


def test_the_scene_stands_as_in_nerfstudio(scene_dir, poses):
    scene = load_split(scene_dir, "train")
    assert scene.unbounded
    assert scene.aabb == (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
    assert 0.0 < scene.near < 0.1
    assert scene.far > 50.0
    both = torch.cat([scene.cameras.c2w, load_split(scene_dir, "val").cameras.c2w])
    positions, ups = both[:, :, 3], both[:, :, 1].mean(dim=0)
    torch.testing.assert_close(positions.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    assert positions.abs().max().item() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(ups / ups.norm(), torch.tensor([0.0, 0.0, 1.0]), atol=1e-5, rtol=0)
    undone = scene.transform.undo_poses(scene.cameras.c2w.double().numpy())
    np.testing.assert_allclose(undone, poses[[int(name) for name in scene.names]], atol=1e-5)


def test_placement_can_be_asked_for(scene_dir, poses):
    asked = Placement(orientation="none", center="none", auto_scale=False, scene_scale=4.0)
    scene = load_split(scene_dir, "train", placement=asked)
    np.testing.assert_allclose(scene.cameras.c2w[1].numpy(), poses[1], atol=1e-6)
    assert scene.aabb == (-4.0,) * 3 + (4.0,) * 3
    box = (-1.0, -2.0, -3.0, 4.0, 5.0, 6.0)
    assert load_split(scene_dir, "train", placement=Placement(aabb=box)).aabb == box


def test_an_aabb_scale_of_one_is_instant_ngps_unit_cube(scene_dir, poses):
    rewrite(scene_dir, nerfstudio_transforms(poses, aabb_scale=1))
    scene = load_split(scene_dir, "train")
    assert not scene.unbounded
    assert scene.aabb == pytest.approx((-0.5 / 0.33,) * 3 + (0.5 / 0.33,) * 3)
    np.testing.assert_allclose(scene.cameras.c2w[1].numpy(), poses[1], atol=1e-6)


@pytest.mark.parametrize("aabb_scale", [1, 4])
def test_scale_and_offset_place_instant_ngps_unit_cube(scene_dir, poses, aabb_scale):
    more = {"aabb_scale": aabb_scale, "scale": 0.25, "offset": [0.5, 0.75, 0]}
    rewrite(scene_dir, nerfstudio_transforms(poses, **more))
    scene = load_split(scene_dir, "train")
    assert scene.unbounded == (aabb_scale > 1)
    assert scene.aabb == pytest.approx((-2.0, -3.0, 0.0, 2.0, 1.0, 4.0))
    np.testing.assert_allclose(scene.cameras.c2w[1].numpy(), poses[1], atol=1e-6)
    asked = Placement(scene_scale=7.0)
    assert load_split(scene_dir, "train", placement=asked).aabb == (-7.0,) * 3 + (7.0,) * 3


def test_applied_transform_is_undone_too(scene_dir, poses):
    applied = [[0.0, 1.0, 0.0, 2.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 5.0]]
    rewrite(scene_dir, nerfstudio_transforms(poses, applied_transform=applied))
    scene = load_split(scene_dir, "train")
    before = np.linalg.inv(np.vstack([applied, [0.0, 0.0, 0.0, 1.0]])) @ [*poses[4, :, 3], 1.0]
    undone = scene.transform.undo(scene.cameras.c2w[4, :, 3].double().numpy())
    np.testing.assert_allclose(undone, before[:3], atol=1e-5)


def test_splits_by_nerfstudios_rule(scene_dir):
    assert detect_dataset_type(scene_dir) == "nerfstudio"
    assert scene_splits(scene_dir) == ["train", "val", "test"]
    assert load_split(scene_dir, "val").names == HELD_OUT
    assert load_split(scene_dir, "test").names == HELD_OUT
    train = load_split(scene_dir, "train").names
    assert sorted(train + HELD_OUT) == [f"{i:04d}" for i in range(NUM_VIEWS)]


def test_listed_splits(scene_dir, poses):
    lists = {
        "train_filenames": ["images/0003.png", "./images/0001.png"],
        "val_filenames": ["images/0004.png"],
    }
    rewrite(scene_dir, nerfstudio_transforms(poses, **lists))
    assert scene_splits(scene_dir) == ["train", "val"]
    assert load_split(scene_dir, "train").names == ["0001", "0003"]
    assert load_split(scene_dir, "val").names == ["0004"]
    with pytest.raises(SceneError, match="no split 'test'"):
        load_split(scene_dir, "test")


def test_listed_names_of_no_frame_are_left_out_with_a_warning(scene_dir, poses):
    """A listed frame whose image is missing is already reported, and is not an unknown name."""
    (scene_dir / "images" / "0005.png").unlink()
    names = ["images/0001.png", "images/0005.png", "images/gone.png", "images/lost.png"]
    lists = {"train_filenames": names, "test_filenames": ["nowhere.png"]}
    rewrite(scene_dir, nerfstudio_transforms(poses, **lists))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert scene_splits(scene_dir) == ["train"]
        assert load_split(scene_dir, "train").names == ["0001"]
    assert [str(w.message).split(": ", 1)[1] for w in caught] == [
        "1 of 20 images are missing and left out: 'images/0005.png'",
        "train_filenames: 2 of 4 names are of no frame and left out: "
        "'images/gone.png', 'images/lost.png'",
        "test_filenames: 1 of 1 names are of no frame and left out: 'nowhere.png'",
    ]


def test_frames_are_ordered_by_their_paths(scene_dir, poses):
    transforms = nerfstudio_transforms(poses)
    transforms["frames"].reverse()
    rewrite(scene_dir, transforms)
    assert load_split(scene_dir, "val").names == HELD_OUT


def test_missing_images_are_left_out_with_one_warning(scene_dir):
    gone = [f"images/{i:04d}.png" for i in (2, 5, 11)]
    for name in gone:
        (scene_dir / name).unlink()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sizes = [len(load_split(scene_dir, split)) for split in ("train", "val", "test")]
    assert sizes == [16, 1, 1]
    assert len(caught) == 1
    message = str(caught[0].message)
    assert caught[0].category is SceneWarning
    assert "3 of 20 images" in message
    assert all(name in message for name in gone)


def test_no_image_left(scene_dir):
    for path in (scene_dir / "images").iterdir():
        path.unlink()
    with pytest.raises(SceneError, match="none of its 20 images is there"):
        load_split(scene_dir, "train")


def test_reduced_folders_are_used(scene_dir):
    names = [f"{i:04d}.png" for i in range(NUM_VIEWS)]
    write_images(scene_dir / "images_4", names, 5, 8)  # 18 / 4 was rounded up
    scene = load_split(scene_dir, "train", img_downscale=4)
    np.testing.assert_array_equal(
        scene.images[1], decode_image(scene_dir / "images_4" / "0001.png", channels=3)
    )
    assert (scene.cameras.width[0].item(), scene.cameras.height[0].item()) == (5, 8)
    assert scene.cameras.fx[0].item() == pytest.approx(23.1 * 5 / 18)
    assert scene.cameras.cy[0].item() == pytest.approx(15.7 / 4)
    averaged = load_split(scene_dir, "train", img_downscale=2)
    assert averaged.images[0].shape == (16, 9, 3)


def test_files_of_another_size_scale_the_cameras(scene_dir):
    for path in (scene_dir / "images").iterdir():
        Image.fromarray(random_rgba(16, 9)[..., :3]).save(path)
    with pytest.warns(SceneWarning, match="18 of 18 images have another size"):
        scene = load_split(scene_dir, "train")
    assert scene.cameras.fx[0].item() == pytest.approx(23.1 / 2)
    assert scene.images[0].shape == (16, 9, 3)
    Image.fromarray(random_rgba(16, 12)[..., :3]).save(scene_dir / "images" / "0004.png")
    with pytest.raises(SceneError, match=r"0004\.png: 12x16 .* not in proportion"):
        load_split(scene_dir, "train")


@pytest.mark.parametrize(("orientation", "turned"), [(6, True), (3, False), (8, True)])
def test_exif_is_followed_where_width_and_height_ask_for_it(scene_dir, orientation, turned):
    """Stored 32x18, upright 18x32, described 18x32. Half a turn is ambiguous: taken as stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = random_rgba(*((18, 32) if turned else (32, 18)))[..., :3]
    path = scene_dir / "images" / "0000.png"
    Image.fromarray(stored).save(path, exif=exif)
    if turned:
        scene = load_split(scene_dir, "train")
    else:
        with pytest.warns(SceneWarning, match="EXIF orientation"):
            scene = load_split(scene_dir, "train")
    expected = np.rot90(stored, {6: -1, 8: 1, 3: 0}[orientation])
    np.testing.assert_array_equal(scene.images[0], expected)


def test_exif_is_not_followed_where_the_scene_is_of_stored_pixels(tmp_path, poses):
    transforms = nerfstudio_transforms(poses, width=32, height=18)
    scene_dir = write_nerfstudio_scene(tmp_path / "wide", transforms)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = random_rgba(18, 32)[..., :3]
    Image.fromarray(stored).save(scene_dir / "images" / "0000.png", exif=exif)
    with pytest.warns(SceneWarning, match="EXIF orientation"):
        scene = load_split(scene_dir, "train")
    np.testing.assert_array_equal(scene.images[0], stored)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"camera_model": "CYLINDRICAL"}, "CYLINDRICAL"),
        ({"fl_x": -3.0}, "fl_x is -3.0"),
        ({"k1": "a tenth"}, "k1 is 'a tenth'"),
        ({"w": None}, "w is None"),
        ({"cx": 1e9}, "cx is 1000000000.0"),
        ({"aabb_scale": []}, "aabb_scale"),
        ({"train_filenames": 3}, "train_filenames must be a list"),
        ({"applied_transform": [[1.0]]}, "applied_transform"),
        ({"orientation_override": "sideways"}, "orientation_override"),
        ({"scale": 0}, "scale is 0.0"),
        ({"offset": [0.5, 0.5]}, "offset is"),
        ({"offset": 0.5}, "offset is 0.5"),
        ({"scale": 1e-3, "offset": [0, 0, 1e5]}, "scale and offset"),
    ],
)
def test_bad_values_are_named(scene_dir, poses, change, words):
    rewrite(scene_dir, nerfstudio_transforms(poses, **change))
    with pytest.raises(SceneError, match=words) as caught:
        load_split(scene_dir, "train")
    assert "transforms.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_intrinsics_at_all(scene_dir, poses):
    transforms = nerfstudio_transforms(poses)
    del transforms["fl_x"], transforms["fl_y"]
    rewrite(scene_dir, transforms)
    with pytest.raises(SceneError, match=r"frames\[0\]: neither fl_x nor camera_angle_x"):
        load_split(scene_dir, "train")


def test_paths_that_lead_out_need_permission(scene_dir, poses):
    transforms = nerfstudio_transforms(poses)
    write_images(scene_dir.parent, ["outside.png"], 18, 32)
    transforms["frames"][0]["file_path"] = "../outside.png"
    rewrite(scene_dir, transforms)
    with pytest.raises(SceneError, match=r"frames\[0\].*leads out"):
        load_split(scene_dir, "train")
    assert "outside" in load_split(scene_dir, "train", allow_external_paths=True).names


# ---- sparse points ----------------------------------------------------------------------------


def write_points(path, points):
    vertices = np.array([tuple(point) for point in points], dtype=[(axis, "f8") for axis in "xyz"])
    PlyData([PlyElement.describe(vertices, "vertex")], byte_order="<").write(path)


@pytest.fixture
def points():
    """A cloud that is not in the middle of the cameras, and a wrong point far away."""
    cloud = np.random.default_rng(0).normal(size=(300, 3)) * 0.3 + [0.5, -0.25, 0.1]
    return np.concatenate([cloud, [[1e5, 0.0, 0.0]]])


@pytest.fixture
def scene_with_points(scene_dir, poses, points):
    write_points(scene_dir / "sparse.ply", points)
    rewrite(scene_dir, nerfstudio_transforms(poses, ply_file_path="sparse.ply"))
    return scene_dir


def test_points_place_the_box_and_say_what_is_near(scene_with_points, points):
    scene = load_split(scene_with_points, "train")
    placed = scene.transform.apply(points)
    np.testing.assert_allclose(np.median(placed, axis=0), 0.0, atol=0.05)
    assert np.median(np.abs(placed).max(axis=-1)) <= 1.0
    assert np.abs(scene.cameras.c2w[:, :, 3].numpy()).max() <= 1.0 + 1e-5
    # Near is half the depth of all but the nearest hundredth.
    depths = []
    for view in range(len(scene)):
        pixels, depth = scene.cameras.project(view, torch.from_numpy(placed).float())
        size = torch.tensor([int(scene.cameras.width[view]), int(scene.cameras.height[view])])
        depths.append(depth[((pixels >= 0) & (pixels < size)).all(-1)])
    depths = torch.cat(depths)
    assert 0.25 * depths.median() < scene.near < depths.median()
    assert (depths < 2.01 * scene.near).float().mean() < 0.02


def test_all_splits_stand_alike_with_points(scene_with_points):
    train, test = (load_split(scene_with_points, split) for split in ("train", "test"))
    assert train.near == test.near
    np.testing.assert_array_equal(train.transform.matrix, test.transform.matrix)


def test_what_the_user_asks_for_comes_before_the_points(scene_with_points, poses):
    asked = Placement(center="poses")
    with_points = load_split(scene_with_points, "train", placement=asked)
    (scene_with_points / "sparse.ply").unlink()
    rewrite(scene_with_points, nerfstudio_transforms(poses))
    without = load_split(scene_with_points, "train")
    np.testing.assert_allclose(
        with_points.transform.matrix[:, 3], without.transform.matrix[:, 3], atol=1e-12
    )


def test_points_that_are_not_there_are_told(scene_dir, poses):
    rewrite(scene_dir, nerfstudio_transforms(poses, ply_file_path="gone.ply"))
    with pytest.warns(SceneWarning, match=r"gone\.ply"):
        load_split(scene_dir, "train")


def test_too_few_points_leave_near_to_the_cameras(scene_dir, poses, points):
    near = load_split(scene_dir, "train", placement=Placement(center="none")).near
    write_points(scene_dir / "sparse.ply", points[:3])
    rewrite(scene_dir, nerfstudio_transforms(poses, ply_file_path="sparse.ply"))
    asked = Placement(center="none", auto_scale=True)
    assert load_split(scene_dir, "train", placement=asked).near == pytest.approx(near, rel=1e-6)


@pytest.mark.parametrize("content", [b"", b"no points", b"ply\nformat ascii 1.0\nend_header\n"])
def test_broken_points_are_named(scene_dir, poses, content):
    (scene_dir / "sparse.ply").write_bytes(content)
    rewrite(scene_dir, nerfstudio_transforms(poses, ply_file_path="sparse.ply"))
    with pytest.raises(SceneError, match=r"sparse\.ply: these points cannot be read"):
        load_split(scene_dir, "train")


def test_points_without_their_package_are_told(scene_with_points, monkeypatch):
    def absent(module, extra):
        raise MissingPackageError(f"{module} is not here")

    monkeypatch.setattr(sparse_points, "optional", absent)
    with pytest.warns(SceneWarning, match="plyfile"):
        load_split(scene_with_points, "train")
