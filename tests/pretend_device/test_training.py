"""Training on the pretend device: on one device throughout, and with few waits."""

import dataclasses

import pytest
import torch
from machine import pretend_machine, to_host
from pretend import DEVICE, counted
from tiny import ball_scene, tiny_config
from torch import nn

from taichi_pynerf.data.datasets import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.errors import ConfigError, TrainingError
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.runs.checkpoint import load_pyramid_model
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.training.trainer import PyNeRFTrainer

SETTLED = 3  # steps until constants are made and optimizers have their state
LOSS = 0.1  # weight of the pyramid loss, which looks at the device once more

# Settings that differ from those of `train`, and the most waits of a step.
WAYS = {
    "occupancy": ({}, 1),
    "more samples": ({"samples_per_batch": 4096}, 1),
    "random background": ({"background": "random"}, 1),
    "culled": ({"cull_hidden": 1e-3}, 2),
    "culled and thinned": ({"cull_hidden": 1e-3, "thin_below": 0.05}, 2),
    "hierarchical": ({"sampler": "hierarchical"}, 0),
    "proposal": ({"sampler": "proposal"}, 0),
    "colours blended": ({"output_interpolation": "color"}, 2),
    "nearest level": ({"level_interpolation": "none"}, 2),
    "one level": ({"single_level": True}, 1),
    "a grid for each level": ({"share_feature_grid": False}, 2),
    "mixed precision": ({"mixed_precision": True}, 2),
    "poses": ({"pose_learning_rate": 1e-3, "warmup_steps": 0}, 1),
    "colour maps": ({"color_correction": "affine", "gradient_clip": 1.0}, 1),
    "unbounded": (
        {
            "unbounded": True,
            "num_cascades": 3,
            "distortion_loss_weight": 0.01,
            "gradient_distance": 0.5,
        },
        1,
    ),
    "unbounded proposals": ({"unbounded": True, "num_cascades": 3, "sampler": "proposal"}, 0),
    "all losses": (
        {
            "pyramid_loss_weight": LOSS,
            "distortion_loss_weight": 0.01,
            "opacity_loss_weight": 0.1,
            "weight_decay": 1e-3,
            "hash_decay": 1e-3,
        },
        3,
    ),
    "pyramid loss, nearest level": (
        {"pyramid_loss_weight": LOSS, "level_interpolation": "none"},
        2,
    ),
}


@pytest.fixture(autouse=True)
def machine():
    with pretend_machine():
        yield


@pytest.fixture(scope="module")
def data():
    return PyNeRFDataset.from_scene(ball_scene(size=24), white_background=True)


def new_trainer(data, loss=None, **settings) -> PyNeRFTrainer:
    config = tiny_config(**{"pyramid_loss_weight": 0.0, "occupancy_interval": 8, **settings})
    trainer = PyNeRFTrainer(PyNeRF(config), config, data, loss=loss, progress=False)
    assert trainer.model.device == DEVICE
    return trainer


@pytest.mark.parametrize(("settings", "most_waits"), WAYS.values(), ids=WAYS)
def test_every_way_to_train_stays_on_the_device_and_waits_seldom(data, settings, most_waits):
    trainer = new_trainer(data, **settings)
    first = trainer.train_step()["loss"]
    for _ in range(SETTLED - 1):
        trainer.train_step()
    with counted() as ledger:
        trainer.train_step()
    assert ledger.num_waits <= most_waits, str(ledger)
    for _ in range(8):  # the grid is updated again
        figures = trainer.train_step()
    assert figures["loss"] < first


def test_lenses_are_undone_without_a_wait():
    scene = ball_scene(size=24)
    lens = torch.tensor([0.05, -0.02, 0.0, 0.0, 1e-3, -1e-3])
    cameras = dataclasses.replace(scene.cameras, distortion=lens.repeat(len(scene.cameras), 1))
    bent = PyNeRFDataset.from_scene(dataclasses.replace(scene, cameras=cameras))
    trainer = new_trainer(bent, background="white")
    for _ in range(SETTLED):
        trainer.train_step()
    with counted() as ledger:
        trainer.train_step()
    assert ledger.kernels["pixel_rays"] == 1
    assert ledger.num_waits <= 1, str(ledger)


def test_an_update_of_the_grid_waits_seldom(data):
    trainer = new_trainer(data)
    for _ in range(9):
        trainer.train_step()
    trainer.model.occupancy.num_updates += trainer.model.occupancy.warmup_updates
    with counted() as ledger:
        trainer.model.renderer.update_occupancy(trainer.generator)
    assert ledger.num_waits <= 2, str(ledger)


def test_a_loss_of_ones_own(data):
    class Mean(nn.Module):
        def forward(self, outputs, targets):
            squares = (outputs["rgb"] - targets["rgb"]).square().mean()
            return {"total_loss": squares.double(), "constant": torch.tensor(0.5)}

    trainer = new_trainer(data, loss=Mean())
    figures = [trainer.train_step() for _ in range(12)]
    assert figures[-1]["loss"] < figures[0]["loss"]
    assert figures[-1]["constant"] == 0.5


# ---- where data lie ---------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("masked", [False, True])
def test_one_seed_gives_the_same_pixels_wherever_they_are_kept(masked, share):
    scene = ball_scene(size=24)
    if masked:
        masks = torch.arange(len(scene.pixels)) % 3 > 0
        object.__setattr__(scene, "masks", masks.numpy())
    data = PyNeRFDataset.from_scene(scene)
    drawn = []
    for device, kept in ((torch.device("cpu"), "auto"), (DEVICE, "cpu"), (DEVICE, "cuda")):
        data.draw_on(device, kept)
        data.sample(1, torch.Generator())  # constants are made
        generator = torch.Generator().manual_seed(3)
        with counted() as ledger:
            behind = torch.full((3,), 0.5, device=device)
            batch = data.sample(300, generator, behind, contrast_share=share)
        assert ledger.num_waits == 0, str(ledger)
        assert batch.rgb.device == batch.rays.rays_o.device == device
        drawn.append(batch)
    here, *there = ({**vars(batch.rays), **vars(batch)} for batch in drawn)
    copied, kept = ({name: to_host(x[name]) for name in x if name != "rays"} for x in there)
    for name in kept:
        assert torch.equal(copied[name], kept[name]), name
        if name in ("rays_d", "pixel_areas"):  # a kernel's there, torch's here
            torch.testing.assert_close(kept[name], here[name], rtol=1e-6, atol=1e-7)
        else:
            assert torch.equal(kept[name], here[name]), name


@pytest.mark.parametrize("kept", ["auto", "cpu", "cuda"])
def test_a_training_is_the_same_wherever_pixels_are_kept(data, kept):
    trainer = new_trainer(data, data_device=kept)
    losses = [trainer.train_step()["loss"] for _ in range(4)]
    beside = new_trainer(data, data_device="auto")
    assert losses == [beside.train_step()["loss"] for _ in range(4)]


def test_pixels_that_do_not_fit_stay_in_main_memory(data, monkeypatch):
    monkeypatch.setattr("taichi_pynerf.data.drawing.store.free_memory", lambda device: 1000)
    trainer = new_trainer(data)
    trainer.train_step()
    trainer.train_step()
    with counted() as ledger:
        trainer.train_step()
    assert sum(n for what, n in ledger.copies.items() if "data/datasets" in what) == 4
    assert ledger.num_waits <= 2, str(ledger)


def test_from_coarse_to_fine_the_pixels_stay_on_the_device():
    data = MultiScaleDataset.from_scene(ball_scene(size=32).with_scales([1, 2, 4, 8]))
    config = tiny_config(pyramid_loss_weight=0.0)
    trainer = MultiScaleTrainer(
        PyNeRF(config), config, data, scale_schedule={0: 2, 4: 1}, progress=False
    )
    for _ in range(6):
        trainer.train_step()
    with counted() as ledger:
        trainer.train_step()
    assert ledger.num_waits <= 2, str(ledger)


# ---- figures, checkpoints ---------------------------------------------------------------------


def test_figures_are_those_of_the_step_before_and_at_the_end_of_the_last(data):
    trainer = new_trainer(data, max_steps=5)
    steps = []
    last = trainer.train(on_step=lambda _, figures: steps.append(figures["step"]))
    assert steps == [1, 1, 2, 3, 5]
    assert last["step"] == 5


def test_a_loss_that_is_not_finite_is_told_a_step_later(data):
    class Breaks(nn.Module):
        steps = 0

        def forward(self, outputs, targets):
            self.steps += 1
            squares = (outputs["rgb"] - targets["rgb"]).square().mean()
            return {"total_loss": squares / 0 if self.steps == 3 else squares}

    trainer = new_trainer(data, loss=Breaks())
    for _ in range(3):
        trainer.train_step()
    with pytest.raises(TrainingError, match="the loss is inf at step 2"):
        trainer.train_step()


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_a_checkpoint_goes_from_the_device_to_the_processor(data, tmp_path):
    trainer = new_trainer(data)
    trainer.output_dir = tmp_path
    for _ in range(3):
        trainer.train_step()
    path = trainer.save()
    table = trainer.model.field.encoders[0].table
    model, _ = load_pyramid_model(None, path)
    assert torch.equal(to_host(model.field.encoders[0].table.data), to_host(table.data))


def test_pixels_on_cuda_need_a_model_there(data):
    with pytest.raises(ConfigError, match='data_device is "cuda", and the model is on the CPU'):
        data.draw_on(torch.device("cpu"), "cuda")
