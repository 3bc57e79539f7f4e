"""Sparse points, by which images see them: read from COLMAP's models, drawn as rays, trained on."""

import dataclasses
import json
import warnings

import numpy as np
import pytest
import torch
from colmap_makers import HEIGHT, LENSES, POINTS, WIDTH, places_of, write_model
from format_makers import circle_poses, write_images
from PIL import Image

from taichi_pynerf.data import MultiScaleDataset, PyNeRFDataset, load_split
from taichi_pynerf.data.authoring import folder_report
from taichi_pynerf.data.formats import nerfstudio
from taichi_pynerf.data.locating import probe_formats
from taichi_pynerf.data.scene_files import LoadOptions
from taichi_pynerf.errors import SceneWarning

NUM_VIEWS, MODEL = 9, "SIMPLE_PINHOLE"
pytest.importorskip("pycolmap")


@pytest.fixture
def poses():
    return circle_poses(NUM_VIEWS)


@pytest.fixture
def colmap_scene(tmp_path, poses):
    write_images(tmp_path / "images", [f"view_{i:02d}.png" for i in range(9)], WIDTH, HEIGHT)
    write_model(tmp_path / "sparse" / "0", poses, MODEL, true_places=True)
    return tmp_path


def write_frames(folder, poses, scale=1.0):
    """A `transforms.json` of the same cameras, in other units."""
    (fx, fy, cx, cy), _ = LENSES[MODEL]
    frames = []
    for i, pose in enumerate(poses):
        matrix = np.eye(4)
        matrix[:3] = pose
        matrix[:3, 3] *= scale
        name = f"images/view_{i:02d}.png"
        frames.append({"file_path": name, "transform_matrix": matrix.tolist()})
    lens = {"w": WIDTH, "h": HEIGHT, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
    (folder / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))


@pytest.fixture
def nerfstudio_scene(tmp_path, poses):
    write_images(tmp_path / "images", [f"view_{i:02d}.png" for i in range(9)], WIDTH, HEIGHT)
    write_model(tmp_path / "colmap" / "sparse" / "0", poses, MODEL, true_places=True)
    write_frames(tmp_path, poses, scale=2.5)
    return tmp_path


def assert_rays_reach_the_points(scene, count):
    """Rays of sighted pixels pass by the point within a pixel, and it is as far as they say."""
    data = PyNeRFDataset.from_scene(scene)
    assert len(data.sightings) == count
    batch = data.sample(200, torch.Generator().manual_seed(0), num_sighted=150)
    assert (batch.sparse_depth[:150] > 0).all()
    assert not batch.sparse_depth[150:].any()
    assert not batch.depth.any()
    ends = batch.rays.rays_o + batch.sparse_depth[:, None] * batch.rays.rays_d
    points = torch.from_numpy(scene.transform.apply(POINTS)).float()
    apart = torch.cdist(ends[:150], points).amin(1)
    half_pixel = batch.rays.pixel_areas[:150].sqrt() * batch.sparse_depth[:150]
    assert (apart < half_pixel).all()


@pytest.mark.parametrize("split", ["train", "test"])
def test_of_a_sparse_model(colmap_scene, poses, split):
    scene = load_split(colmap_scene, split)
    views = [0, 8] if split == "test" else range(1, 8)
    inside = 0
    for view in views:
        places, depths = places_of(poses[view], MODEL)
        assert (depths > 0).all()
        inside += int(((places >= 0) & (places < (WIDTH, HEIGHT))).all(1).sum())
    assert_rays_reach_the_points(scene, inside)


def test_of_the_model_beside_nerfstudio_frames_in_other_units(nerfstudio_scene):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scene = load_split(nerfstudio_scene, "train")
    data = PyNeRFDataset.from_scene(scene)
    batch = data.sample(100, torch.Generator().manual_seed(0), num_sighted=100)
    ends = batch.rays.rays_o + batch.sparse_depth[:, None] * batch.rays.rays_d
    points = torch.from_numpy(scene.transform.apply(2.5 * POINTS)).float()
    apart = torch.cdist(ends, points).amin(1)
    assert (apart < batch.rays.pixel_areas.sqrt() * batch.sparse_depth).all()
    description = nerfstudio.read(nerfstudio_scene, LoadOptions())
    fits = probe_formats(nerfstudio_scene)
    lines = folder_report.taken_lines(description, {})
    assert any("sightings of points in images" in line for line in lines)
    ignored = folder_report.ignored_lines(description, {}, "nerfstudio", fits)
    assert not any("colmap" in line for line in ignored)


def test_a_model_of_other_cameras_is_told_and_left_out(nerfstudio_scene, poses):
    moved = poses.copy()
    moved[3, :, 3] += 0.5
    write_frames(nerfstudio_scene, moved)
    with pytest.warns(SceneWarning, match="its points are not used"):
        assert load_split(nerfstudio_scene, "train").sightings is None


def test_a_model_of_other_images_is_told_and_left_out(nerfstudio_scene, poses):
    write_model(nerfstudio_scene / "colmap" / "sparse" / "0", poses, MODEL, names="other_{}.png")
    with pytest.warns(SceneWarning, match="0 of 9 frames"):
        assert load_split(nerfstudio_scene, "train").sightings is None


def test_a_broken_model_stops_nothing(nerfstudio_scene):
    (nerfstudio_scene / "colmap" / "sparse" / "0" / "images.txt").write_text("1 nonsense\n")
    with pytest.warns(SceneWarning, match="is not used"):
        assert load_split(nerfstudio_scene, "train").sightings is None


@pytest.mark.parametrize("fault", ["error", "track"])
def test_points_that_images_do_not_agree_about_are_left_out(colmap_scene, fault):
    path = colmap_scene / "sparse" / "0" / "points3D.txt"
    seen = len(load_split(colmap_scene, "train").sightings)
    first, *others = path.read_text().splitlines()
    numbers = first.split()
    numbers = [*numbers[:7], "5.0", *numbers[8:]] if fault == "error" else numbers[: 8 + 2 * 2]
    path.write_text("\n".join([" ".join(numbers), *others]) + "\n")
    assert len(load_split(colmap_scene, "train").sightings) < seen


def test_at_reduced_sizes_and_several_scales(colmap_scene):
    whole, half = (load_split(colmap_scene, "train", img_downscale=k) for k in (1, 2))
    assert (half.sightings.depths == whole.sightings.depths).all()
    width = whole.cameras.width[0]
    x, y = whole.sightings.pixels % width, whole.sightings.pixels // width
    assert (half.sightings.pixels == y // 2 * (width // 2) + x // 2).all()
    at_once = load_split(colmap_scene, "train", scales=[1, 2]).sightings
    later = whole.with_scales([1, 2]).sightings
    for name in ("views", "pixels", "depths"):
        assert torch.equal(getattr(at_once, name), getattr(later, name))
    data = MultiScaleDataset.from_scene(whole, scales=[1, 2])
    data.set_active_scales([2])
    batch = data.sample(64, torch.Generator().manual_seed(0), num_sighted=64)
    assert (data.scales[batch.view_indices] == 2).all()


def test_masked_pixels_are_never_drawn(colmap_scene):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = 255
    (colmap_scene / "masks").mkdir()
    for i in range(NUM_VIEWS):
        Image.fromarray(mask).save(colmap_scene / "masks" / f"view_{i:02d}.png")
    scene = load_split(colmap_scene, "train")
    assert len(scene.sightings) > 0
    assert (scene.sightings.pixels % WIDTH < WIDTH // 2).all()


def test_batches_without_sightings_are_as_ever(colmap_scene):
    scene = load_split(colmap_scene, "train")
    without = PyNeRFDataset.from_scene(dataclasses.replace(scene, sightings=None))
    batches = [
        data.sample(50, torch.Generator().manual_seed(3))
        for data in (PyNeRFDataset.from_scene(scene), without)
    ]
    assert torch.equal(batches[0].rgb, batches[1].rgb)
    assert not batches[0].sparse_depth.any()
