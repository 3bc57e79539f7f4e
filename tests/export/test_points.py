"""Point clouds of a ball whose radius, colour and normals are known."""

import json

import numpy as np
import pytest
import torch
from balls import RADIUS, ball_model, color_of
from tiny import ball_scene

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export import points as points_module
from taichi_pynerf.export.mesh import move_back, write_mesh
from taichi_pynerf.export.points import (
    PointCloud,
    extract_point_cloud,
    rays_of_views,
    rays_through_box,
    write_point_cloud,
)

plyfile = pytest.importorskip("plyfile")


@pytest.fixture(scope="module", params=["views", "box"])
def cloud(request):
    model = ball_model()
    rays = rays_through_box(model)
    if request.param == "views":
        rays = rays_of_views(PyNeRFDataset.from_scene(ball_scene(8, 32)))
    return extract_point_cloud(model, rays, num_points=3000)


def test_points_lie_on_the_surface_and_all_around_it(cloud):
    assert cloud.points.shape == (3000, 3)
    radii = np.linalg.norm(cloud.points, axis=1)
    assert np.abs(radii - RADIUS).max() < 0.04
    assert np.abs(np.median(radii) - RADIUS) < 0.015
    assert (np.sign(cloud.points[:, None]) * 1).min() == -1
    assert np.abs(cloud.points.mean(0)).max() < 0.15


def test_normals_point_outwards_and_colors_are_the_field_s(cloud):
    np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1, atol=1e-5)
    outwards = (cloud.normals * cloud.points).sum(1) / np.linalg.norm(cloud.points, axis=1)
    assert np.median(outwards) > 0.97
    assert outwards.min() > 0.6
    expected = 255 * color_of(torch.from_numpy(cloud.points)).numpy()
    assert np.abs(cloud.colors - expected).max() < 12


def test_random_lines_meet_every_part_alike():
    model = ball_model()
    points = extract_point_cloud(model, rays_through_box(model), num_points=4000).points
    counts = np.histogram(points[:, 2], bins=4, range=(-RADIUS, RADIUS))[0]  # equal areas
    assert counts.min() > 0.8 * counts.mean()


def test_a_cloud_is_the_same_for_the_same_seed():
    model = ball_model()
    a, b, c = (extract_point_cloud(model, rays_through_box(model, seed), 500) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.points, b.points)
    assert not np.array_equal(a.points, c.points)


def test_rays_that_are_not_opaque_give_no_points(monkeypatch):
    monkeypatch.setattr(points_module, "RAYS_PER_ROUND", 256)
    model = ball_model(density=2.0)
    with pytest.raises(ConfigError, match="--min_opacity"):
        extract_point_cloud(model, rays_through_box(model), 100, min_opacity=0.98)


@pytest.mark.parametrize("given", [{"num_points": 0}, {"min_opacity": 1.0}, {"min_opacity": -0.1}])
def test_bad_arguments_are_named(given):
    model = ball_model()
    with pytest.raises(ConfigError, match=next(iter(given))):
        extract_point_cloud(model, rays_through_box(model), **given)


def test_a_cloud_moves_back_to_the_coordinates_of_the_files():
    turn = np.array([[0.0, -1, 0, 5], [1, 0, 0, 0], [0, 0, 1, 0]])
    transform = SceneTransform(matrix=turn, scale=0.5)
    there = np.array([[1.0, 2.0, 3.0]])
    cloud = PointCloud(
        transform.apply(there).astype(np.float32),
        np.array([[0, 1, 0]], np.float32),
        np.zeros((1, 3), np.uint8),
    )
    back = cloud.moved_back(transform)
    np.testing.assert_allclose(back.points, there, atol=1e-6)
    np.testing.assert_allclose(back.normals, [[1, 0, 0]], atol=1e-6)


def test_a_file_reads_back(cloud, tmp_path):
    path = tmp_path / "cloud.ply"
    write_point_cloud(cloud, path)
    vertex = plyfile.PlyData.read(path)["vertex"]
    assert vertex.count == len(cloud)
    for names, expected in (
        (("x", "y", "z"), cloud.points),
        (("nx", "ny", "nz"), cloud.normals),
        (("red", "green", "blue"), cloud.colors),
    ):
        np.testing.assert_array_equal(np.stack([vertex[n] for n in names], 1), expected)
    assert list(tmp_path.iterdir()) == [path]


def test_exports_keep_georeferenced_coordinates(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    offset = np.array([512345.25, 4412345.5, 120.0])
    matrix = np.concatenate([np.eye(3), -offset[:, None]], axis=1)
    transform = SceneTransform(matrix, scale=0.1)
    points = np.random.default_rng(0).random((40, 3)).astype(np.float32)
    there = transform.undo(points.astype(np.float64))
    up = np.tile(np.array([[0, 0, 1]], np.float32), (40, 1))
    cloud = PointCloud(points, up, np.zeros((40, 3), np.uint8)).moved_back(transform)
    write_point_cloud(cloud, tmp_path / "cloud.ply")
    vertex = plyfile.PlyData.read(tmp_path / "cloud.ply")["vertex"]
    assert vertex["x"].dtype == np.float64
    np.testing.assert_allclose(np.stack([vertex[n] for n in "xyz"], -1), there, atol=1e-7)

    mesh = trimesh.Trimesh(points[:39], np.arange(39).reshape(13, 3), process=False)
    mesh.vertex_normals = up[:39]
    move_back(mesh, transform)
    for suffix in (".ply", ".glb"):
        offset_path = write_mesh(mesh, tmp_path / f"mesh{suffix}")
        written = trimesh.load(tmp_path / f"mesh{suffix}", process=False)
        if suffix == ".glb":  # its node turns z up into y up
            (written,) = written.geometry.values()
        moved = written.vertices + json.loads(offset_path.read_text())["offset"]
        np.testing.assert_allclose(moved, there[:39], atol=1e-5)
    assert write_mesh(mesh, tmp_path / "mesh.obj") is None
    written = trimesh.load(tmp_path / "mesh.obj", process=False, force="mesh")
    assert np.abs(written.vertices - there[:39]).max() < 1e-6
    near = SceneTransform(scale=0.1)
    assert cloud_in_32_bits(near, points)


def cloud_in_32_bits(transform, points):
    cloud = PointCloud(points, points, np.zeros(points.shape, np.uint8)).moved_back(transform)
    return cloud.points.dtype == np.float32
