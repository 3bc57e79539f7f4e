"""Load, train, render and save from Python."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scene_makers import write_blender_scene

from taichi_pynerf import Camera, LoadedScene, load, load_scene, train
from taichi_pynerf.apps import train as train_app
from taichi_pynerf.errors import CheckpointError, ConfigError, SceneError
from taichi_pynerf.evaluation.evaluation import render_view
from taichi_pynerf.runs import scene_source

TINY = {
    "num_levels": 3,
    "base_resolution": 4,
    "max_resolution": 16,
    "hash_table_size": 2048,
    "features_per_level": 2,
    "hidden_dim": 16,
    "occupancy_resolution": 16,
    "occupancy_interval": 4,
    "march_resolution": 32,
    "batch_size": 64,
    "samples_per_batch": 1024,
    "warmup_steps": 4,
    "max_steps": 24,
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> LoadedScene:
    folder = tmp_path_factory.mktemp("scenes") / "noise"
    write_blender_scene(folder, width=32, height=16, splits=("train", "val", "test"))
    return load_scene(folder)


@pytest.fixture(scope="module")
def model(scene):
    return train(scene, progress=False, **TINY)


@pytest.fixture(scope="module")
def camera(scene) -> Camera:
    return scene.cameras("test")[1]


# ---- scenes ------------------------------------------------------------------------------------


def test_a_scene_has_its_splits_cameras_and_photographs(scene):
    assert sorted(scene.splits) == ["test", "train", "val"]
    cameras = scene.cameras("test")
    assert [(camera.width, camera.height) for camera in cameras] == [(32, 16)] * 3
    image = scene.image(2, "test")
    assert (image.shape, image.dtype) == ((16, 32, 3), np.float32)
    np.testing.assert_array_equal(image, scene.dataset("test").image(2))
    assert scene.dataset("test") is scene.dataset("test")


def test_scales_and_reductions_keep_the_count_of_cameras(scene):
    many = load_scene(scene.folder, multiscale=True)
    assert len(many.dataset("train")) == 12
    assert len(many.cameras()) == 3
    np.testing.assert_array_equal(many.image(1), scene.image(1))
    half = load_scene(scene.folder, img_downscale=2)
    assert [(c.width, c.height) for c in half.cameras()] == [(16, 8)] * 3
    assert half.image(0).shape == (8, 16, 3)


def test_without_a_path_it_is_the_demo_scene_at_all_scales(scene, monkeypatch):
    monkeypatch.setattr(scene_source, "demo_scene_dir", lambda: scene.folder)
    demo = load_scene()
    assert demo.source.data_dir is None
    assert sorted(set(demo.dataset("test").scales.tolist())) == [1, 2, 4, 8]
    seen = []
    settings = {**TINY, "max_steps": 2, "val_interval": 0}
    train(demo, progress=False, on_step=lambda trainer, _: seen.append(trainer.step), **settings)
    assert seen == [1, 2]


def test_what_is_wrong_with_a_scene_is_named(scene, tmp_path):
    with pytest.raises(SceneError, match="no such folder"):
        load_scene(tmp_path / "absent")
    with pytest.raises(SceneError, match="no scene of a known format"):
        load_scene(tmp_path)
    with pytest.raises(SceneError, match=r"img_downscale is 1\.5"):
        load_scene(scene.folder, img_downscale=1.5)
    for ask in (scene.cameras, scene.dataset):
        with pytest.raises(SceneError, match="no split 'night'"):
            ask("night")
    for index in (-1, 3):
        with pytest.raises(IndexError):
            scene.image(index)


def test_a_path_has_frames_of_the_size_that_is_asked_for(scene):
    frames = scene.camera_path("orbit", 5, width=24, height=12)
    assert [(frame.width, frame.height) for frame in frames] == [(24, 12)] * 5
    assert (scene.camera_path("zoom", 2)[0].width, len(scene.camera_path("zoom", 2))) == (32, 2)
    with pytest.raises(ValueError, match="belong together"):
        scene.camera_path("orbit", 5, width=24)
    with pytest.raises(ValueError, match="spiral, orbit"):
        scene.camera_path("spin", 5)


# ---- training ----------------------------------------------------------------------------------


def test_python_and_the_command_line_train_the_same_model(scene, model, tmp_path):
    chosen = [f"--set={name}={value}" for name, value in TINY.items() if name != "max_steps"]
    train_app.main(
        ["--data_dir", str(scene.folder), "--output_dir", str(tmp_path), "--max_steps", "24",
         "--no-tensorboard", *chosen]
    )  # fmt: skip
    other = load(tmp_path / "noise")
    assert other.config == model.config
    own, others = model.pynerf.state_dict(), other.pynerf.state_dict()
    assert [name for name in own if not torch.equal(own[name], others[name])] == []


def test_a_run_folder_can_be_opened_and_gone_on_with(scene, tmp_path):
    run = tmp_path / "run"
    train(scene, progress=False, output_dir=run, **TINY)
    assert {path.name for path in run.iterdir()} >= {"config.json", "checkpoint.pth", "log.jsonl"}
    assert json.loads((run / "config.json").read_text())["config"]["max_steps"] == 24
    train_app.main(["--resume", str(run), "--max_steps", "30", "--no-tensorboard"])
    assert load(run).steps == 30


def test_wrong_settings_are_named_before_anything_is_written(scene, tmp_path):
    for settings, said in (
        ({"steps": 5}, "unknown settings: steps"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"aabb": [0, 0, 0, 1, 1, 1]}, "aabb cannot be set: the scene gives it"),
        ({"unbounded": True}, "unbounded cannot be set: the scene gives it"),
        ({"preset": "tpu"}, "unknown preset 'tpu'"),
        ({"scale_schedule": {0: 4}}, "scale_schedule needs a scene at several scales"),
    ):
        with pytest.raises(ConfigError, match=said):
            train(scene, progress=False, output_dir=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


# ---- rendering ---------------------------------------------------------------------------------


def test_a_render_is_that_of_the_programs(scene, model, camera):
    image, depth, level = model.render(camera)
    out = render_view(model.pynerf, scene.dataset("test"), 1)
    np.testing.assert_array_equal(image, out["rgb"].numpy())
    seen = out["acc"].numpy() >= 0.5
    assert seen.any()
    for values, name in ((depth, "depth"), (level, "level")):
        assert values.shape == (16, 32)
        np.testing.assert_array_equal(values[seen], out[name].numpy()[seen])
        assert np.isnan(values[~seen]).all()
    assert all(array.dtype == np.float32 for array in (image, depth, level))


def test_a_camera_of_ones_own_sees_what_the_scenes_sees(model, camera):
    own = Camera.from_pose(camera.c2w, camera.focal, camera.width, camera.height)
    for a, b in zip(model.render(own), model.render(camera), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_transparent_render_over_a_colour_is_the_render_over_it(model, camera):
    rgba = model.render(camera, transparent=True).image
    assert rgba.shape == (16, 32, 4)
    colour = np.array([0.2, 0.5, 0.9], dtype=np.float32)
    over = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:]) * colour
    np.testing.assert_allclose(model.render(camera, background=colour).image, over, atol=1e-5)


def test_one_level_is_rendered_where_it_is_asked_for(model, camera):
    coarse, fine = (model.render(camera, level=level) for level in (0, model.num_levels - 1))
    assert np.abs(coarse.image - fine.image).max() > 1e-3
    assert np.nanmax(coarse.level) <= 1e-4


def test_wrong_options_of_a_render_are_named(model, camera):
    for options, said in (
        ({"level": 3}, "level is 3: give None, or 0 to 2"),
        ({"supersample": 0}, "supersample is 0"),
        ({"background": (1, 1)}, r"background is \(1, 1\)"),
        ({"background": (1, 1, 2)}, "three numbers from 0 to 1"),
        ({"background": (1, 1, 1), "transparent": True}, "no background"),
    ):
        with pytest.raises(ConfigError, match=said):
            model.render(camera, **options)
    with pytest.raises(TypeError, match="make one with Camera"):
        model.render(camera.c2w)


def test_a_film_has_the_frames(model, scene, tmp_path):
    cameras = scene.camera_path("orbit", 3)
    path = model.render_video(tmp_path / "orbit.webp", cameras, progress=False)
    with Image.open(path) as film:
        assert (film.n_frames, film.size) == (3, (32, 16))
    with pytest.raises(ConfigError, match="cameras of one size"):
        model.render_video(path, [cameras[0], cameras[1].resized(8, 4)], progress=False)
    with pytest.raises(ConfigError, match="cameras of one size, not of 0"):
        model.render_video(path, [], progress=False)
    with pytest.raises(ConfigError, match="fps is 0"):
        model.render_video(path, cameras, fps=0, progress=False)


def test_figures_are_those_of_the_split(model, scene):
    results = model.evaluate("test", progress=False)
    assert [image["name"] for image in results["images"]] == scene.files("test").names
    assert results["psnr"] == pytest.approx(results["scales"]["1"]["psnr"])
    with pytest.raises(SceneError, match="no split"):
        model.evaluate("night", progress=False)


def test_a_saved_model_renders_the_same_after_loading(model, camera, tmp_path):
    again = load(model.save(tmp_path / "model.pth"))
    assert (again.steps, again.config) == (24, model.config)
    for a, b in zip(again.render(camera), model.render(camera), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(CheckpointError, match="holds no training to go on with"):
        train_app.main(["--resume", str(make_run(tmp_path, model)), "--no-tensorboard"])
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load(tmp_path / "absent.pth")


def make_run(folder, model):
    """A run folder that holds only a saved model."""
    run = folder / "run"
    run.mkdir()
    model.save(run / "checkpoint.pth")
    return run
