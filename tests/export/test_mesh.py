"""Meshes of balls whose surfaces are known."""

import json
import math

import numpy as np
import pytest
import torch
from balls import RADIUS, ball_model, color_of

from taichi_pynerf.data.linear_images import srgb
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export.mesh import extract_mesh, move_back, write_mesh
from taichi_pynerf.export.surface import Surface
from taichi_pynerf.geometry.crop_box import CropBox

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")


def soft_ball(**options):
    """Soft enough for the lattice to see where within a cell its surface lies."""
    return ball_model(density=300.0, softness=0.03, **options)


@pytest.fixture(scope="module")
def ball():
    return extract_mesh(soft_ball(), resolution=48, density=150.0)


def test_vertices_lie_on_the_surface(ball):
    radii = np.linalg.norm(ball.vertices, axis=1)
    assert np.abs(radii - RADIUS).max() < 0.02


def test_the_surface_is_closed_and_its_triangles_look_outwards(ball):
    assert ball.is_watertight
    assert ball.volume == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.03)


def test_normals_point_outwards_and_colors_are_seen_head_on(ball):
    outwards = (ball.vertex_normals * ball.vertices).sum(1) / RADIUS
    assert outwards.min() > 0.95
    expected = 255 * color_of(torch.from_numpy(np.array(ball.vertices))).numpy()
    assert np.abs(ball.visual.vertex_colors[:, :3] - expected).max() < 12


def test_the_cap_of_a_cut_looks_out_of_the_cut():
    half = CropBox(center=(-1.0, 0.0, 0.0), size=(2.0, 2.0, 2.0))
    mesh = extract_mesh(soft_ball(), 48, 150.0, crop=half)
    assert mesh.is_watertight
    cap = (mesh.vertices[:, 0] > -0.02) & (np.linalg.norm(mesh.vertices, axis=1) < 0.8 * RADIUS)
    assert cap.sum() > 50
    assert mesh.vertex_normals[cap, 0].min() > 0.95


def test_a_flat_box_ends_where_its_rays_do():
    surface = Surface(soft_ball(aabb=(-1.0, -1.0, -0.2, 1.0, 1.0, 0.2)), 0.02)
    within, beyond = torch.tensor([[0.0, 0.0, 0.19]]), torch.tensor([[0.0, 0.0, 0.21]])
    assert float(surface.density(within)) > 100
    assert float(surface.density(beyond)) == 0


def test_a_surface_that_leaves_the_box_is_closed_at_its_border():
    mesh = extract_mesh(soft_ball(centers=[(torch.tensor([1.0, 0, 0]), 0.5)]), 48, 150.0)
    assert mesh.is_watertight
    assert mesh.vertices[:, 0].max() == pytest.approx(1.0, abs=2 / 47)


def test_small_parts_are_left_out():
    two = [(torch.tensor([-0.4, 0, 0]), 0.4), (torch.tensor([0.7, 0, 0]), 0.08)]
    model = soft_ball(centers=two)
    both, large = (extract_mesh(model, 48, 150.0, min_faces=n) for n in (1, 300))
    assert len(both.split()) == 2
    assert len(large.split()) == 1
    assert large.vertices[:, 0].max() < 0.1


def test_a_mesh_moves_back_to_the_coordinates_of_the_files(ball):
    turn = np.array([[0.0, -1, 0, 5], [1, 0, 0, 0], [0, 0, 1, 0]])
    transform = SceneTransform(matrix=turn, scale=0.5)
    moved = ball.copy()
    moved.vertex_normals = ball.vertex_normals
    move_back(moved, transform)
    np.testing.assert_allclose(transform.apply(moved.vertices), ball.vertices, atol=1e-6)
    center = transform.undo(np.zeros(3))
    outwards = (moved.vertex_normals * (moved.vertices - center)).sum(1) / (RADIUS / 0.5)
    assert outwards.min() > 0.95


def normals_in(path, read):
    """The normals that a file holds; of two formats trimesh computes its own when reading."""
    if path.suffix == ".ply":
        vertex = pytest.importorskip("plyfile").PlyData.read(path)["vertex"]
        return np.stack([vertex[name] for name in ("nx", "ny", "nz")], 1)
    if path.suffix == ".obj":
        lines = [line.split() for line in path.read_text().splitlines()]
        return np.array([list(map(float, line[1:])) for line in lines if line[:1] == ["vn"]])
    return read.vertex_normals


def mesh_in(path):
    """The mesh as its file's own vertices have it, without what a node does to it."""
    if path.suffix != ".glb":
        return trimesh.load(path, process=False)
    (mesh,) = trimesh.load(path, process=False).geometry.values()
    return mesh


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_a_file_reads_back_with_colors_and_normals(ball, tmp_path, suffix):
    path = tmp_path / f"ball{suffix}"
    write_mesh(ball, path)
    assert list(tmp_path.iterdir()) == [path]
    read = mesh_in(path)
    np.testing.assert_allclose(read.vertices, ball.vertices, atol=1e-5)
    np.testing.assert_array_equal(read.faces, ball.faces)
    np.testing.assert_allclose(normals_in(path, read), ball.vertex_normals, atol=1e-5)
    if suffix != ".glb":
        difference = read.visual.vertex_colors[:, :3].astype(int) - ball.visual.vertex_colors[:, :3]
        assert np.abs(difference).max() <= 1


def test_colors_of_a_glb_are_light_on_a_matte_surface(ball, tmp_path):
    """As the standard has it; trimesh reads back whatever it wrote."""
    write_mesh(ball, tmp_path / "ball.glb")
    content = (tmp_path / "ball.glb").read_bytes()
    length = int.from_bytes(content[12:16], "little")
    tree, data = json.loads(content[20 : 20 + length]), content[28 + length :]
    ((primitive,),) = (mesh["primitives"] for mesh in tree["meshes"])
    material = tree["materials"][primitive["material"]]["pbrMetallicRoughness"]
    assert material["metallicFactor"] == 0
    accessor = tree["accessors"][primitive["attributes"]["COLOR_0"]]
    assert (accessor["componentType"], accessor["type"]) == (5126, "VEC3")  # float32
    begin = tree["bufferViews"][accessor["bufferView"]].get("byteOffset", 0)
    light = np.frombuffer(data, np.float32, 3 * accessor["count"], begin).reshape(-1, 3)
    shown = ball.visual.vertex_colors[:, :3]
    np.testing.assert_allclose(255 * srgb(light), shown, atol=0.01)
    assert set(primitive["attributes"]) == {"POSITION", "NORMAL", "COLOR_0"}


def test_a_glb_stands_upright_where_y_is_up(ball, tmp_path):
    to_scene = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # in the files y is up
    for given, up, right in ((None, [0, 0, 1], [1, 0, 0]), (to_scene, [0, 1, 0], [1, 0, 0])):
        write_mesh(ball, tmp_path / "ball.glb", given)
        shown = trimesh.load(tmp_path / "ball.glb", process=False, force="mesh")
        np.testing.assert_allclose(shown.vertices[:, 1], ball.vertices @ up, atol=1e-5)
        np.testing.assert_allclose(shown.vertices[:, 0], ball.vertices @ right, atol=1e-5)
        assert shown.volume == pytest.approx(ball.volume, rel=1e-4)  # turned, and not mirrored


def test_another_suffix_is_refused(ball, tmp_path):
    with pytest.raises(ConfigError, match=r"ball\.stl.*\.glb"):
        write_mesh(ball, tmp_path / "ball.stl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"resolution": 1}, "resolution"),
        ({"density": 0.0}, "density"),
        ({"density": math.nan}, "density"),
        ({"density": 1e4}, "--density"),
        ({"density": 150.0, "min_faces": 10**9}, "--min_faces"),
    ],
)
def test_what_gives_no_surface_is_named(given, name):
    with pytest.raises(ConfigError, match=name):
        extract_mesh(soft_ball(), **{"resolution": 24, **given})
