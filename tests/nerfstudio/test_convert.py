"""Converted runs, opened by nerfstudio itself and compared pixel by pixel."""

import shutil

import pytest
import torch

pytest.importorskip("nerfstudio.engine", reason="nerfstudio is not installed")

from folder_makers import write_colmap
from nerfstudio.utils.eval_utils import eval_setup

from taichi_pynerf import convert_to_nerfstudio_format
from taichi_pynerf.errors import ConfigError, SceneError
from taichi_pynerf.model.images import render_image
from taichi_pynerf.nerfstudio.convert import studio_config
from taichi_pynerf.nerfstudio.data import source_of
from taichi_pynerf.runs.runs import open_run
from taichi_pynerf.runs.scene_source import SceneSource

LEVEL = 1 / 255


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sampler": "hierarchical", "background": "random"},
        {"unbounded": True, "num_cascades": 2, "output_interpolation": "color"},
    ],
    ids=["bounded", "hierarchical", "unbounded"],
)
@pytest.mark.parametrize("white", [True, False], ids=["white", "black"])
def test_pixels_are_ours(rough_model, ball_folder, tmp_path, settings, white):
    model = rough_model(**settings)
    source = SceneSource(str(ball_folder), white_background=white)
    path = convert_to_nerfstudio_format(model, model.config, tmp_path / "run", source, step=60)
    _, pipeline, _, step = eval_setup(path)
    assert step == 59
    dataset = source.load("test")
    assert len(pipeline.datamanager.eval_dataset) == len(dataset) == 2
    for view in range(2):
        camera = pipeline.datamanager.eval_dataset.cameras[view : view + 1]
        theirs = pipeline.model.get_outputs_for_camera(camera)
        ours = render_image(
            model, dataset.cameras, view, dataset.near, dataset.far, dataset.background
        )
        assert ours["acc"].max() > 0.2
        assert (theirs["rgb"] - ours["rgb"]).abs().max() < LEVEL
        assert (theirs["accumulation"][..., 0] - ours["acc"]).abs().max() < LEVEL
        assert (theirs["depth"][..., 0] - ours["depth"]).abs().max() < 0.02
        truth = pipeline.datamanager.eval_dataset[view]["image"]
        assert (truth - dataset.image(view)).abs().max() < LEVEL


def test_smaller_images_are_smaller_there_too(rough_model, ball_folder, tmp_path):
    model = rough_model()
    source = SceneSource(str(ball_folder), img_downscale=2)
    path = convert_to_nerfstudio_format(model, model.config, tmp_path / "run", source)
    _, pipeline, _, _ = eval_setup(path)
    dataset = source.load("test")
    camera = pipeline.datamanager.eval_dataset.cameras[:1]
    theirs = pipeline.model.get_outputs_for_camera(camera)["rgb"]
    ours = render_image(model, dataset.cameras, 0, dataset.near, dataset.far)["rgb"]
    assert theirs.shape == ours.shape == (16, 16, 3)
    assert (theirs - ours).abs().max() < LEVEL


def test_the_chosen_model_and_split_go_along(rough_model, tmp_path):
    pytest.importorskip("pycolmap")
    folder = write_colmap(tmp_path / "scene", place="exports/best")
    choice = {"exposure": -1.5, "holdout": 3, "colmap_path": "exports/best"}
    source = SceneSource(str(folder), "colmap", **choice)
    files = source.files("train")
    write_colmap(folder)  # the model that is found without a choice
    run = studio_config(rough_model().config, tmp_path / "run", source, files)
    dataparser = run.pipeline.datamanager.dataparser
    assert source_of(dataparser, 1) == source
    shutil.rmtree(folder / "sparse")
    for split, count in (("train", 6), ("test", 3)):
        outputs = dataparser.setup().get_dataparser_outputs(split)
        assert outputs.image_filenames == source.files(split).image_paths
        assert len(outputs.cameras) == count


def test_a_model_alone_brings_views_of_its_own(rough_model, tmp_path):
    model = rough_model()
    path = convert_to_nerfstudio_format(model, model.config, tmp_path / "run")
    names = sorted(entry.name for entry in path.parent.iterdir())
    assert names == ["config.yml", "dataparser_transforms.json", "nerfstudio_models", "views"]
    run_config, pipeline, _, _ = eval_setup(path)
    assert run_config.get_base_dir() == path.parent  # where ns-viewer puts its log
    images = pipeline.datamanager.train_dataset
    assert len(images) == 8
    theirs = pipeline.model.get_outputs_for_camera(images.cameras[3:4])["rgb"]
    assert theirs.std() > 0.01
    assert (theirs - images[3]["image"]).abs().max() < 1.5 * LEVEL  # an image of 8 bits


def test_the_checkpoint_holds_tensors_and_plain_values_alone(rough_model, ball_folder, tmp_path):
    model = rough_model()
    source = SceneSource(str(ball_folder))
    path = convert_to_nerfstudio_format(model, model.config, tmp_path / "run", source, step=60)
    (file,) = (path.parent / "nerfstudio_models").iterdir()
    assert file.name == "step-000000059.ckpt"
    content = torch.load(file, weights_only=True)
    assert content.keys() == {"step", "pipeline", "optimizers", "schedulers", "scalers"}
    assert all(name.startswith("_model.") for name in content["pipeline"])


def test_a_converted_run_comes_back(rough_model, ball_folder, tmp_path):
    model = rough_model()
    source = SceneSource(str(ball_folder), white_background=False)
    path = convert_to_nerfstudio_format(model, model.config, tmp_path / "run", source, step=60)
    back = open_run(path)
    assert back.config == model.config
    assert back.step == 60
    assert back.source.load("test").image(0).equal(source.load("test").image(0))
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.model.state_dict()[name], tensor)


def test_a_folder_in_use_and_another_configuration_are_refused(rough_model, tmp_path):
    model = rough_model()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(SceneError, match="run"):
        convert_to_nerfstudio_format(model, model.config, tmp_path / "run")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    with pytest.raises(ConfigError, match="hidden_dim"):
        convert_to_nerfstudio_format(model, model.config.replace(hidden_dim=8), tmp_path / "new")
    assert not (tmp_path / "new").exists()
