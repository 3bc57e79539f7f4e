"""`ns-train` on a small scene, and uses of its run."""

import threading

import pytest
import torch

pytest.importorskip("nerfstudio.engine", reason="nerfstudio is not installed")

from format_makers import circle_poses, nerfstudio_transforms, write_nerfstudio_scene
from nerfstudio.engine.callbacks import TrainingCallbackLocation
from nerfstudio.model_components.renderers import background_color_override_context
from nerfstudio.scripts.train import main as ns_train
from nerfstudio.utils.eval_utils import eval_setup
from studio_runs import STEPS, studio_config

from taichi_pynerf.data.authoring.multiscale_writer import write_multiscale
from taichi_pynerf.errors import CheckpointError
from taichi_pynerf.model.images import render_image
from taichi_pynerf.nerfstudio import training
from taichi_pynerf.nerfstudio.data import PyNeRFDataParserConfig
from taichi_pynerf.nerfstudio.model import average_weights
from taichi_pynerf.runs.runs import open_run
from taichi_pynerf.runs.scene_source import SceneSource
from taichi_pynerf.training.carving import possible_cells
from taichi_pynerf.training.optimization.averaging import WeightAverage


@pytest.fixture(scope="module")
def run(ball_folder, tmp_path_factory):
    """The folder of a trained run."""
    config = studio_config(ball_folder, tmp_path_factory.mktemp("outputs"), "run")
    ns_train(config)
    return config.get_base_dir()


@pytest.fixture(scope="module")
def setup(run):
    """The trained run as nerfstudio opens it: its pipeline and last step."""
    _, pipeline, _, step = eval_setup(run / "config.yml")
    return pipeline, step


@pytest.fixture
def pipeline(setup):
    return setup[0].eval()  # nerfstudio's evaluation leaves it in training mode


def test_it_learns_the_scene(pipeline, setup):
    assert setup[1] == STEPS - 1
    metrics = pipeline.get_average_eval_image_metrics()
    assert metrics["psnr"] > 20  # a white image has 11
    assert 0.7 < metrics["ssim"] <= 1


def test_settings_and_carving_follow_the_scene(pipeline, ball_folder):
    config = pipeline.model.pynerf.config
    assert config.aabb == (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5)
    assert config.max_resolution == 32
    assert config.background == "random"  # for the images have alpha
    drawn_from = pipeline.datamanager.train_image_dataloader.cached_collated_batch["image"]
    assert drawn_from.shape[-1] == 4
    for shown in (pipeline.datamanager.train_dataset, pipeline.datamanager.eval_dataset):
        assert shown[0]["image"][0, 0].tolist() == [1, 1, 1]  # on white
    images = SceneSource(str(ball_folder)).load("train")
    expected = possible_cells(images, pipeline.model.pynerf.renderer.box, 16)
    assert 0.1 < expected.float().mean() < 0.9
    assert torch.equal(pipeline.model.pynerf.occupancy.possible.view(-1), expected)


def test_the_checkpoint_loads_as_plain_values_with_a_schedule_that_ends_with_the_run(run):
    (file,) = (run / "nerfstudio_models").iterdir()
    content = torch.load(file, weights_only=True)
    rates = content["schedulers"]["tables"]["_last_lr"]
    assert rates == pytest.approx([5e-2 * 0.3])
    assert content["optimizers"].keys() == {"tables", "networks"}


def test_a_run_comes_back_with_the_same_pixels(run, pipeline):
    back = open_run(run)
    assert back.step == STEPS
    dataset = back.source.load("test")
    for view in range(2):
        camera = pipeline.datamanager.eval_dataset.cameras[view : view + 1]
        theirs = pipeline.model.get_outputs_for_camera(camera)["rgb"]
        ours = render_image(
            back.model, dataset.cameras, view, dataset.near, dataset.far, dataset.background
        )["rgb"]
        assert (theirs - ours).abs().max() < 1 / 255


def test_the_colour_behind_can_be_chosen_and_left_out(pipeline):
    camera = pipeline.datamanager.eval_dataset.cameras[:1]
    outputs = pipeline.model.get_outputs_for_camera(camera)
    behind = 1 - outputs["accumulation"]
    assert behind.max() > 0.9 > 0.1 > behind.min()
    green = torch.tensor([0.0, 1.0, 0.0])
    with background_color_override_context(green):
        on_green = pipeline.model.get_outputs_for_camera(camera)["rgb"]
    assert (outputs["rgb"] - on_green).allclose(behind * (1 - green), atol=1e-5)
    rgba = pipeline.model.get_rgba_image(outputs)
    assert rgba.shape == (*behind.shape[:2], 4)
    assert (rgba[..., :3] * rgba[..., 3:] + behind * green).allclose(on_green, atol=1e-3)


def test_training_goes_on_as_one_run_to_the_new_end(ball_folder, run, tmp_path, monkeypatch):
    num_more = 40
    config = studio_config(ball_folder, tmp_path, "more")
    config.max_num_iterations = num_more
    config.load_dir = run / "nerfstudio_models"
    noted = []
    monkeypatch.setattr(WeightAverage, "note", lambda _, *step: noted.append(step))
    trainer = config.setup()
    trainer.setup()
    rates = trainer.optimizers.optimizers["tables"].param_groups
    num_steps = STEPS + num_more
    assert rates[0]["lr"] == pytest.approx(5e-2 * 0.3 ** (STEPS / num_steps))
    trainer.train()
    assert rates[0]["lr"] == pytest.approx(5e-2 * 0.3)
    assert noted[0] == (STEPS + 1, pytest.approx((STEPS + 1) / num_steps))
    assert [progress for _, progress in noted].index(1.0) == num_more - 1
    assert trainer.pipeline.model.progress == (num_steps - 1) / num_steps
    assert open_run(config.get_base_dir()).step == num_steps


def test_schedules_that_are_not_loaded_begin_anew(ball_folder, run, tmp_path):
    config = studio_config(ball_folder, tmp_path, "anew")
    config.max_num_iterations, config.load_scheduler = 40, False
    config.load_dir = run / "nerfstudio_models"
    trainer = config.setup()
    trainer.setup()
    schedule = trainer.optimizers.schedulers["tables"]
    assert schedule.lr_lambdas[0](40) == pytest.approx(0.3)
    (group,) = schedule.optimizer.param_groups
    assert group["lr"] == pytest.approx(5e-2 / 5)  # the first step of the warm-up


def test_proposals_learn_at_first_and_then_at_intervals(ball_folder, tmp_path):
    config = studio_config(
        ball_folder, tmp_path, "proposals", sampler="proposal", proposal_interval=5
    )
    config.max_num_iterations = 400
    trainer = config.setup()
    trainer.setup()
    model, learned = trainer.pipeline.model.train(), []
    for step in (0, 3, 300, 303, 304, 305):
        for callback in trainer.callbacks:
            callback.run_callback_at_location(step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        bundle, _ = trainer.pipeline.datamanager.next_train(step)
        learned.append(bool(model(bundle)["loss_inputs"]["render"].proposed.rounds))
    assert learned == [True, True, False, False, True, False]


def test_panoramas_can_be_trained_on_and_opened(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(4), 32, 16, camera_model="EQUIRECTANGULAR")
    folder = write_nerfstudio_scene(tmp_path / "scene", transforms)
    config = studio_config(folder, tmp_path, "panoramas", unbounded=True)
    config.pipeline.datamanager.dataparser = PyNeRFDataParserConfig()
    config.max_num_iterations = 2
    ns_train(config)
    _, pipeline, _, step = eval_setup(config.get_base_dir() / "config.yml")
    assert step == 1
    back = open_run(config.get_base_dir())
    dataset = back.source.load("test")
    assert dataset.cameras.panorama.all()
    theirs = pipeline.eval().model.get_outputs_for_camera(
        pipeline.datamanager.eval_dataset.cameras[:1]
    )["rgb"]
    ours = render_image(
        back.model, dataset.cameras, 0, dataset.near, dataset.far, dataset.background
    )["rgb"]
    assert theirs.shape == ours.shape == (16, 32, 3)
    assert (theirs - ours).abs().max() < 0.02


def test_after_the_last_step_weights_are_the_mean_of_the_last_ones():
    part = torch.nn.Linear(2, 2)
    average, kept = WeightAverage([part], 0.5), []
    for step in range(40):
        torch.nn.init.normal_(part.weight)
        if step + 1 in (30, 40):
            kept.append(part.weight.detach().clone())
        average_weights(average, 40, step)
    torch.testing.assert_close(part.weight.detach(), torch.stack(kept).mean(0))


def test_other_data_than_the_run_s_are_refused(ball_folder, run, tmp_path):
    config = studio_config(ball_folder, tmp_path, "other", max_resolution=16)
    config.load_dir = run / "nerfstudio_models"
    with pytest.raises((CheckpointError, RuntimeError), match=r"max_resolution|size mismatch"):
        ns_train(config)


def test_rays_adapt_to_their_samples_and_the_seed_is_the_machine_s(ball_folder, tmp_path):
    config = studio_config(ball_folder, tmp_path, "adapt")
    config.machine.seed = 7
    trainer = config.setup()
    trainer.setup()
    assert trainer.pipeline.model.pynerf.config.seed == 7
    counts = []
    for step in range(12):
        trainer.pipeline.train()
        for callback in trainer.callbacks:
            callback.run_callback_at_location(step, callback.where_to_run[0])
        _, _, metrics = trainer.train_iteration(step)
        counts.append((metrics["num_rays"], metrics["num_samples"]))
    assert counts[0][0] == 128
    assert 2000 < counts[-1][1] < 8000


def test_images_of_several_sizes_can_be_trained_on(ball_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "next_num_rays", lambda *_: 101)
    write_multiscale(ball_folder, tmp_path / "scales")
    config = studio_config(tmp_path / "scales", tmp_path, "scales")
    config.pipeline.datamanager.dataparser = PyNeRFDataParserConfig()
    trainer = config.setup()
    trainer.setup()
    for step in range(2):
        loss, _, metrics = trainer.train_iteration(step)
    assert torch.isfinite(loss)
    assert metrics["num_rays"] == 101


def test_a_viewer_s_thread_can_render(pipeline):
    camera = pipeline.datamanager.eval_dataset.cameras[:1]
    expected = pipeline.model.get_outputs_for_camera(camera)["rgb"]
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(pipeline.model.get_outputs_for_camera(camera)["rgb"])
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(torch.equal(rgb, expected) for rgb in found)


def test_a_batch_that_meets_nothing_does_not_stop_the_training(ball_folder, tmp_path):
    config = studio_config(ball_folder, tmp_path, "empty")
    trainer = config.setup()
    trainer.setup()
    occupancy = trainer.pipeline.model.pynerf.occupancy
    occupancy.restrict(torch.zeros_like(occupancy.possible))
    trainer.pipeline.train()
    loss, _, metrics = trainer.train_iteration(1)
    assert metrics["num_samples"] == 0
    assert torch.isfinite(loss)
