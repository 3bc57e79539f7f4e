"""apps/export.py as its users meet it."""

import sys

import numpy as np
import pytest
import torch
from scene_makers import write_blender_scene
from tiny import roughen, tiny_model

from taichi_pynerf.apps import export as export_app
from taichi_pynerf.errors import CheckpointError, ConfigError, MissingPackageError, SceneError
from taichi_pynerf.nerfstudio.convert import checkpoint_content
from taichi_pynerf.runs.checkpoint import save_pyramid_model
from taichi_pynerf.runs.runs import open_run
from taichi_pynerf.runs.scene_source import SceneSource

plyfile = pytest.importorskip("plyfile")
trimesh = pytest.importorskip("trimesh")


@pytest.fixture(scope="module")
def export():
    """The program's main."""
    return export_app.main


@pytest.fixture
def run_dir(tmp_path):
    """A run on a scene, in a folder of its own."""
    scene = write_blender_scene(tmp_path / "noise")
    return save(tmp_path / "run", SceneSource(str(scene)).to_dict())


def save(folder, scene):
    folder.mkdir()
    model = tiny_model()
    roughen(model.field)
    save_pyramid_model(model, model.config, folder / "checkpoint.pth", scene=scene)
    return folder


def test_a_point_cloud_of_the_training_views(export, run_dir, capsys):
    export(["--checkpoint", str(run_dir), "--format", "pointcloud", "--num_points", "50",
            "--min_opacity", "0.1"])  # fmt: skip
    path = run_dir / "pointcloud.ply"
    assert plyfile.PlyData.read(path)["vertex"].count == 50
    assert capsys.readouterr().out == f"50 points: {path}\n"


def test_a_mesh_in_a_format_of_one_s_choice(export, run_dir, tmp_path, capsys):
    path = tmp_path / "mesh.glb"
    export(["--checkpoint", str(run_dir / "checkpoint.pth"), "--format", "mesh", "--resolution",
            "16", "--density", "1", "--min_faces", "1", "--output", str(path)])  # fmt: skip
    mesh = trimesh.load(path, force="mesh")
    assert len(mesh.faces) > 10
    assert np.abs(mesh.vertices).max() <= 1.2
    assert str(path) in capsys.readouterr().out


@pytest.mark.parametrize("scene", [None, {"data_dir": "/no/such/folder"}])
def test_a_checkpoint_without_its_scene_is_exported_too(export, tmp_path, scene, capsys):
    run = save(tmp_path / "run", scene)
    export(["--checkpoint", str(run), "--format", "pointcloud", "--num_points", "50",
            "--min_opacity", "0.1"])  # fmt: skip
    assert plyfile.PlyData.read(run / "pointcloud.ply")["vertex"].count == 50
    said = capsys.readouterr().out
    assert "--rays box" in said
    assert "--coordinates scene" in said
    with pytest.raises(SceneError, match="--data_dir"):
        export(["--checkpoint", str(run), "--format", "pointcloud", "--rays", "views"])


@pytest.mark.parametrize(
    ("given", "error", "name"),
    [
        (["--format", "mesh", "--output", "mesh.stl"], ConfigError, "mesh.stl"),
        (["--format", "pointcloud", "--output", "cloud.obj"], ConfigError, "cloud.obj"),
        (["--format", "mesh", "--output", "no/such/mesh.ply"], ConfigError, "no/such"),
        (["--format", "mesh", "--resolution", "0"], ConfigError, "resolution"),
        (["--format", "pointcloud", "--num_points", "-1"], ConfigError, "num_points"),
        (["--format", "mesh", "--checkpoint", "nowhere.pth"], CheckpointError, "nowhere.pth"),
        (["--format", "mesh", "--num_points", "9"], ConfigError, "--num_points needs --format p"),
        (["--format", "web", "--texture"], ConfigError, "--texture needs --format mesh"),
        (["--format", "mesh", "--max_faces", "9"], ConfigError, "--max_faces needs --texture"),
        (["--format", "web", "--coordinates", "scene"], ConfigError, "--coordinates needs"),
    ],
)
def test_a_bad_value_is_refused_and_nothing_is_written(export, run_dir, given, error, name):
    before = sorted(run_dir.iterdir())
    with pytest.raises(error, match=name) as caught:
        export(["--checkpoint", str(run_dir), *given])
    assert "\n" not in str(caught.value)
    assert sorted(run_dir.iterdir()) == before


def test_a_run_of_nerfstudio_comes_back_as_a_checkpoint(export, run_dir, tmp_path, capsys):
    opened = open_run(run_dir)
    models = tmp_path / "studio" / "nerfstudio_models"
    models.mkdir(parents=True)
    content = checkpoint_content(opened.model, opened.config, opened.source, last_step=7)
    torch.save(content, models / "step-000000007.ckpt")
    export(["--checkpoint", str(models.parent), "--format", "checkpoint"])
    back = open_run(tmp_path / "studio" / "checkpoint.pth")
    assert back.config == opened.config
    assert back.source == opened.source
    assert list(models.iterdir()) == [models / "step-000000007.ckpt"]
    with pytest.raises(ConfigError, match="already"):
        export(["--checkpoint", str(run_dir), "--format", "checkpoint"])


def test_what_a_format_needs_is_asked_for_first(export, run_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "nerfstudio", None)
    with pytest.raises(MissingPackageError, match=r"taichi-pynerf\[nerfstudio\]"):
        export(["--checkpoint", str(run_dir), "--format", "nerfstudio"])
    assert sorted(path.name for path in run_dir.iterdir()) == ["checkpoint.pth"]


def test_a_crop_cuts_points_and_meshes(export, run_dir):
    flags = ["--checkpoint", str(run_dir), "--coordinates", "scene", "--crop",
             "-0.5", "-1", "-1", "0.25", "1", "0.5"]  # fmt: skip
    low, high = np.array([-0.5, -1, -1]), np.array([0.25, 1, 0.5])
    export([*flags, "--format", "pointcloud", "--num_points", "50", "--min_opacity", "0.1"])
    vertex = plyfile.PlyData.read(run_dir / "pointcloud.ply")["vertex"]
    points = np.stack([vertex[axis] for axis in "xyz"], -1)
    assert (points >= low - 1e-4).all()
    assert (points <= high + 1e-4).all()
    export([*flags, "--format", "mesh", "--resolution", "24", "--density", "1", "--min_faces", "1"])
    vertices = trimesh.load(run_dir / "mesh.ply").vertices
    width = 2 / 23  # a surface is closed within a cell of the box
    assert (vertices >= low - width).all()
    assert (vertices <= high + width).all()
    with pytest.raises(ConfigError, match="--crop cuts"):
        export([*flags, "--format", "nerfstudio"])


def test_a_mesh_with_a_texture(export, run_dir, tmp_path, capsys):
    pytest.importorskip("xatlas")
    pytest.importorskip("fast_simplification")
    flags = ["--checkpoint", str(run_dir), "--format", "mesh", "--texture", "--resolution", "16",
             "--density", "1", "--min_faces", "1", "--texture_size", "64", "--max_faces",
             "200"]  # fmt: skip
    export(flags)
    mesh = trimesh.load(run_dir / "mesh.glb", force="mesh")
    assert mesh.visual.material.baseColorTexture.size == (64, 64)
    assert 10 < len(mesh.faces) <= 260
    assert str(run_dir / "mesh.glb") in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"texture is written as \.glb"):
        export([*flags, "--output", str(tmp_path / "a.obj")])
