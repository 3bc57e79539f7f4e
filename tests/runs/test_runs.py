"""Opening a run again: model, settings and scene."""

import pytest
import torch
from format_makers import forward_poses, write_images, write_llff_scene
from scene_makers import write_blender_scene
from tiny import tiny_model

from taichi_pynerf.errors import CheckpointError, SceneError
from taichi_pynerf.runs import scene_source
from taichi_pynerf.runs.checkpoint import save_pyramid_model
from taichi_pynerf.runs.runs import open_run
from taichi_pynerf.runs.scene_source import SceneSource


@pytest.fixture
def folder(tmp_path):
    return write_blender_scene(tmp_path / "scene", width=16, height=8, splits=("train", "test"))


def save(run_dir, scene, training=None):
    model = tiny_model()
    run_dir.mkdir()
    save_pyramid_model(model, model.config, run_dir / "checkpoint.pth", training, scene)
    return model


@pytest.mark.parametrize("file", [False, True])
def test_a_run_is_opened_by_its_folder_or_its_file(tmp_path, folder, file):
    source = SceneSource(str(folder), img_downscale=2, white_background=False)
    model = save(tmp_path / "run", source.to_dict(), {"step": 7})
    run = open_run(tmp_path / "run" / "checkpoint.pth" if file else tmp_path / "run")
    assert (run.source, run.config, run.step, run.name) == (source, model.config, 7, "run")
    assert run.checkpoint == tmp_path / "run" / "checkpoint.pth"
    assert not run.model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], tensor), name


def test_a_scene_that_has_moved_is_found_by_its_new_folder(tmp_path, folder):
    save(tmp_path / "run", SceneSource(str(tmp_path / "before"), img_downscale=2).to_dict())
    run = open_run(tmp_path / "run", data_dir=folder)
    dataset = run.source.load("train")
    assert (int(dataset.cameras.width[0]), len(dataset)) == (8, 3)
    with pytest.raises(SceneError, match="before"):
        open_run(tmp_path / "run").source.load("train")


@pytest.mark.parametrize("scene", [None, {}, {"data_dir": "x", "colour": 1}])
def test_a_checkpoint_without_a_scene_is_refused(tmp_path, scene):
    save(tmp_path / "run", scene)
    with pytest.raises(CheckpointError, match="run: the checkpoint does not say which scene"):
        open_run(tmp_path / "run")


def test_a_checkpoint_without_a_scene_is_opened_with_its_folder(tmp_path, folder):
    save(tmp_path / "run", None)
    run = open_run(tmp_path / "run", data_dir=folder)
    assert len(run.source.load("train")) == 3


def test_a_source_keeps_folders_absolute_and_the_demo_scene_nameless(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert SceneSource("scene").data_dir == str(folder)
    monkeypatch.setattr(scene_source, "demo_scene_dir", lambda: folder)
    demo = SceneSource.from_dict(SceneSource(None).to_dict())
    assert demo.data_dir is None
    assert demo.folder() == folder
    assert sorted(demo.splits()) == ["test", "train"]
    assert demo.load_or_none("val") is None
    assert demo.load_or_none("test").split == "test"


def test_a_multiscale_source_has_four_scales(tmp_path):
    folder = write_blender_scene(tmp_path / "scene", width=32, height=16)
    assert SceneSource(str(folder), multiscale=True).load("train").scales.unique().tolist() == [
        1, 2, 4, 8,
    ]  # fmt: skip


def test_long_images_are_halved_until_they_fit(folder, monkeypatch):
    source = SceneSource(str(folder))
    assert source.reduced_to_fit() == source
    for longest, k in ((16, 1), (15, 2), (8, 2), (7, 4)):
        monkeypatch.setattr(scene_source, "LONGEST_SIDE", longest)
        assert source.reduced_to_fit().img_downscale == k


@pytest.mark.parametrize("k", [2, 3, 4])
def test_reduced_images_that_are_long_too_are_halved_until_they_fit(tmp_path, monkeypatch, k):
    write_llff_scene(tmp_path, forward_poses(4), 32 * k, 24 * k)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    (tmp_path / "images").rename(tmp_path / f"images_{k}")
    write_images(tmp_path / f"images_{k}", [f"view_{i:03d}.png" for i in range(4)], 32, 24)
    for longest, width in ((64, 32), (32, 32), (16, 16), (8, 8)):
        monkeypatch.setattr(scene_source, "LONGEST_SIDE", longest)
        source = SceneSource(str(tmp_path)).reduced_to_fit()
        assert source.load("train").cameras.width.tolist() == [width] * 3
