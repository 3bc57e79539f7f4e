"""Depth images: read, brought to the size of their photographs, and passed to losses."""

import numpy as np
import pytest
import torch
from format_makers import circle_poses, nerfstudio_transforms, write_nerfstudio_scene
from PIL import Image
from scene_makers import make_cameras, make_scene, random_rgba, write_blender_scene

from taichi_pynerf.data import MultiScaleDataset, PyNeRFDataset, Scene, load_split
from taichi_pynerf.data.formats.depth_files import decode_depth, fit_depth
from taichi_pynerf.data.linear_images import write_exr
from taichi_pynerf.data.scene import reduce_depth
from taichi_pynerf.errors import SceneError, SceneWarning


def write_channels(path, channels):
    """An OpenEXR file; without the package that writes it the test is skipped."""
    pytest.importorskip("OpenImageIO", reason="OpenImageIO (the extra [hdr]) is not installed")
    write_exr(path, channels, {})


def some_depths(height, width, seed=0):
    """Integers, a tenth of them unknown."""
    random = np.random.default_rng(seed)
    values = random.integers(500, 9000, (height, width)).astype(np.uint16)
    values[random.random((height, width)) < 0.1] = 0
    return values


def write_depth(path, values):
    if path.suffix == ".npy":
        np.save(path, np.where(values == 0, np.nan, values.astype(np.float32)))
    elif path.suffix == ".exr":
        unknown_far = np.where(values == 0, np.inf, values).astype(np.float32)
        write_channels(path, {"R": np.zeros_like(unknown_far), "Z": unknown_far})
    else:
        Image.fromarray(values).save(path)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".npy", ".exr"])
def test_every_kind_of_file_says_the_same(tmp_path, suffix):
    values = some_depths(6, 10)
    path = tmp_path / f"depth{suffix}"
    write_depth(path, values)
    depth = decode_depth(path, 2e-3)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, values * 2e-3, rtol=1e-6)


def test_depths_of_a_photograph_of_twelve_megapixels(tmp_path):
    depths = np.ones((3000, 4000), np.float32)
    np.save(tmp_path / "depth.npy", depths)
    assert np.array_equal(decode_depth(tmp_path / "depth.npy", 1.0), depths)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.png", np.zeros((4, 4), np.uint8), "16 bits"),
        ("a.png", np.zeros((4, 4, 3), np.uint8), "16 bits"),
        ("a.npy", np.zeros((4, 4, 2)), "shape"),
        ("a.npy", np.zeros(0), "shape"),
        ("a.npy", b"nonsense", "a.npy"),
        ("a.exr", b"nonsense", "a.exr"),
        ("a.png", b"nonsense", "a.png"),
        ("a.png", None, "missing"),
        ("a.exr", None, "missing"),
    ],
)
def test_faults_name_the_file(tmp_path, name, content, fault):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None and path.suffix == ".npy":
        np.save(path, content)
    elif content is not None:
        Image.fromarray(content).save(path)
    with pytest.raises(SceneError, match=fault) as caught:
        decode_depth(path, 1.0)
    assert name in str(caught.value)


def test_an_exr_without_depths_is_refused(tmp_path):
    path = tmp_path / "a.exr"
    write_channels(path, {"U": np.ones((3, 3), np.float32)})
    with pytest.raises(SceneError, match="no channel Z"):
        decode_depth(path, 1.0)


def test_a_smaller_depth_image_is_spread_by_its_nearest_values(tmp_path):
    depth = np.arange(12, dtype=np.float32).reshape(3, 4) + 1
    fitted = fit_depth(tmp_path / "a.png", depth, 8, 6)
    np.testing.assert_array_equal(fitted, depth.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(fit_depth(tmp_path / "a.png", fitted, 4, 3), depth)
    with pytest.raises(SceneError, match="not in proportion"):
        fit_depth(tmp_path / "a.png", depth, 8, 8)


def test_a_coarse_depth_is_the_mean_of_known_ones():
    depth = np.array([[1, 3, 2, 0, 9], [5, 7, 2, 2, 9], [1, 1, 1, 1, 1]], np.float32)
    np.testing.assert_array_equal(reduce_depth(depth, 2), [[4, 0]])
    assert reduce_depth(depth, 1) is depth


def test_depths_go_along_the_rays():
    """A wall across each camera's axis: equal depth along the axis, and not along the rays."""
    wall = np.full((8, 16), 2.5, np.float32)
    wall[0, 0] = 0
    images = [random_rgba(8, 16, seed)[..., :3] for seed in range(3)]
    scene = Scene.from_images(
        images, make_cameras(), near=0.1, far=9.0, aabb=(-1,) * 3 + (1,) * 3, depths=[wall] * 3
    )
    data = MultiScaleDataset.from_scene(scene, [1, 2])
    assert data.has_depth
    for view in range(len(data)):
        depth, rays = data.depth(view).reshape(-1), data.rays(view)
        points = rays.rays_o + depth[:, None] * rays.rays_d
        _, along_axis = data.cameras.project(view, points)
        assert depth[0] == 0
        torch.testing.assert_close(along_axis[1:], torch.full((len(depth) - 1,), 2.5))
    batch = data.sample(500, torch.Generator().manual_seed(0))
    known = batch.depth > 0
    assert 0 < known.float().mean() <= 1
    points = batch.rays.rays_o + batch.depth[:, None] * batch.rays.rays_d
    for view in range(len(data)):
        mine = known & (batch.view_indices == view)
        _, along_axis = data.cameras.project(view, points[mine])
        torch.testing.assert_close(along_axis, torch.full_like(along_axis, 2.5))


def test_without_depth_images_all_depths_are_unknown():
    data = PyNeRFDataset.from_scene(make_scene())
    assert not data.has_depth
    assert data.depth(0) is None
    assert not data.sample(50, torch.Generator().manual_seed(0)).depth.any()


def test_scenes_check_their_depths():
    with pytest.raises(ValueError, match="depths must be float32"):
        Scene(**{**vars(make_scene()), "depths": np.ones(3, np.float32)})


def write_scene_with_depth(folder, size=(18, 32), **more):
    transforms = nerfstudio_transforms(circle_poses(5), **more)
    (folder / "depth").mkdir(parents=True)
    for i, frame in enumerate(transforms["frames"][:4]):  # the last one has none
        frame["depth_file_path"] = f"depth/{i}.png"
        write_depth(folder / "depth" / f"{i}.png", some_depths(size[1], size[0], i))
    return write_nerfstudio_scene(folder, transforms)


@pytest.mark.parametrize(("more", "unit"), [({}, 1e-3), ({"depth_unit_scale_factor": 0.5}, 0.5)])
def test_nerfstudios_depths_move_with_the_scene(tmp_path, more, unit):
    folder = write_scene_with_depth(tmp_path / "scene", **more)
    scene = load_split(folder, "train", scales=(1, 2))
    assert scene.transform.scale != 1
    depths = np.split(scene.depths, scene.offsets.tolist()[1:-1])
    for view, name in enumerate(scene.names[: len(scene) // 2]):
        expected = some_depths(32, 18, int(name)) if int(name) < 4 else np.zeros((32, 18))
        expected = expected * unit * scene.transform.scale
        np.testing.assert_allclose(depths[view].reshape(32, 18), expected, rtol=1e-5)
        half = reduce_depth(expected.astype(np.float32), 2)
        np.testing.assert_allclose(depths[view + len(scene) // 2].reshape(16, 9), half, rtol=1e-5)


def test_smaller_depth_images_fit_and_wrong_ones_are_named(tmp_path):
    folder = write_scene_with_depth(tmp_path / "small", size=(9, 16))
    scene = load_split(folder, "train")
    first = scene.depths[: 18 * 32].reshape(32, 18)
    np.testing.assert_array_equal(first[::2, ::2], first[1::2, 1::2])
    folder = write_scene_with_depth(tmp_path / "wrong", size=(16, 16))
    with pytest.raises(SceneError, match=r"depth/0\.png: 16x16 depths are not in proportion"):
        load_split(folder, "train")
    folder = write_scene_with_depth(tmp_path / "absent")
    (folder / "depth" / "2.png").unlink()
    with pytest.warns(SceneWarning, match=r"1 of \d+ depth images are not there.*depth/2\.png"):
        depths = load_split(folder, "train").depths
    assert (depths == 0).sum() >= 18 * 32
    folder = write_scene_with_depth(tmp_path / "unit", depth_unit_scale_factor=0)
    with pytest.raises(SceneError, match="depth_unit_scale_factor"):
        load_split(folder, "train")


def test_blenders_depths_beside_the_images(tmp_path):
    folder = write_blender_scene(tmp_path / "scene", num_views=3)
    values = [some_depths(8, 16, i).astype(np.float32) / 1000 for i in range(3)]
    values[0][0, 0] = 1e10  # Blender's background
    write_channels(folder / "train" / "r_0_depth_0001.exr", {"V": values[0]})
    np.save(folder / "train" / "r_1_depth.npy", values[1])
    Image.fromarray(np.zeros((8, 16), np.uint8)).save(folder / "train" / "r_2_depth_0000.png")
    scene = load_split(folder, "train")
    depths = scene.depths.reshape(3, 8, 16)
    values[0][0, 0] = 0
    np.testing.assert_allclose(depths[0], values[0])
    np.testing.assert_allclose(depths[1], values[1])
    assert not depths[2].any()
    assert load_split(write_blender_scene(tmp_path / "plain"), "train").depths is None
