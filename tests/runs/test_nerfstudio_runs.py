"""Runs of nerfstudio's read back; nerfstudio itself is not needed for it."""

from pathlib import Path

import pytest
import torch
from scene_makers import write_blender_scene
from tiny import rays_through_box, roughen, tiny_model

from taichi_pynerf.errors import CheckpointError
from taichi_pynerf.nerfstudio.convert import checkpoint_content
from taichi_pynerf.runs.nerfstudio_runs import is_nerfstudio_run, load_nerfstudio_run
from taichi_pynerf.runs.runs import open_run
from taichi_pynerf.runs.scene_source import SceneSource


@pytest.fixture
def model():
    model = tiny_model().eval()
    roughen(model.field)
    return model


@pytest.fixture
def run(model, tmp_path):
    """A run with checkpoints of two steps; the older one is of zeros."""
    scene = write_blender_scene(tmp_path / "noise")
    content = checkpoint_content(model, model.config, SceneSource(str(scene)), last_step=30)
    old = {
        name: torch.zeros_like(value) if torch.is_tensor(value) else value
        for name, value in content["pipeline"].items()
    }
    folder = tmp_path / "run" / "nerfstudio_models"
    folder.mkdir(parents=True)
    torch.save({**content, "pipeline": old, "step": 4}, folder / "step-000000004.ckpt")
    torch.save(content, folder / "step-000000030.ckpt")
    (tmp_path / "run" / "config.yml").write_text("!!python/object/apply:os.abort []\n")
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["", "config.yml", "nerfstudio_models/step-000000030.ckpt"])
def test_the_newest_checkpoint_is_read_and_renders_as_the_model(model, run, name):
    assert is_nerfstudio_run(run / name)
    loaded, config = load_nerfstudio_run(run / name)
    assert config == model.config
    rays = rays_through_box()
    ours, theirs = (m.renderer.render_rays(rays) for m in (model, loaded))
    assert ours.acc.max() > 0.1
    assert torch.equal(ours.rgb, theirs.rgb)


def test_programs_open_it_with_its_scene(run):
    opened = open_run(run)
    assert opened.step == 31
    assert opened.folder == run
    assert opened.name == "run"
    assert Path(opened.source.data_dir).name == "noise"
    assert len(opened.source.load("train")) == 3


def test_other_checkpoints_are_told_apart(run, tmp_path):
    assert not is_nerfstudio_run(tmp_path)
    assert not is_nerfstudio_run(tmp_path / "checkpoint.pth")
    with pytest.raises(CheckpointError, match=r"step-\*\.ckpt"):
        load_nerfstudio_run(tmp_path / "config.yml")
    with pytest.raises(CheckpointError, match=r"step-4\.ckpt: there is no such file"):
        load_nerfstudio_run(tmp_path / "step-4.ckpt")


def without_state(content):
    del content["pipeline"]["_model._extra_state"]


def without_pipeline(content):
    del content["pipeline"]


def without_a_tensor(content):
    del content["pipeline"]["_model.pynerf.occupancy.density"]


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (without_state, "taichi-pynerf"),
        (without_pipeline, "taichi-pynerf"),
        (without_a_tensor, "occupancy.density"),
    ],
)
def test_a_checkpoint_of_another_method_is_refused(run, spoil, fault):
    path = run / "nerfstudio_models" / "step-000000030.ckpt"
    content = torch.load(path, weights_only=True)
    spoil(content)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=fault) as caught:
        load_nerfstudio_run(run)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_refused(run):
    path = run / "nerfstudio_models" / "step-000000030.ckpt"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="not a readable checkpoint") as caught:
        load_nerfstudio_run(run)
    assert "\n" not in str(caught.value)
