"""What a card would be given to do: in a step, an update of the grid, a round of rendering."""

import pytest
from machine import pretend_machine
from pretend import DEVICE, counted
from tiny import ball_scene, rays_through_box

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.training.setup import fitted_preset
from taichi_pynerf.training.trainer import PyNeRFTrainer

SMALL = {"samples_per_batch": 4096, "hash_table_size": 2**12, "occupancy_resolution": 32}
SETTLED = 17  # steps, with two updates of the grid among them


@pytest.fixture(scope="module")
def trainer():
    """A training with the preset "gpu" on the pretend device, but for the sizes."""
    scene = ball_scene(size=24)
    with pretend_machine():
        data = PyNeRFDataset.from_scene(scene, white_background=True)
        config = fitted_preset("gpu", data, val_interval=0, max_steps=100, **SMALL)
        trainer = PyNeRFTrainer(PyNeRF(config), config, data, progress=False)
        for _ in range(SETTLED):
            trainer.train_step()
        yield trainer


def test_a_step(trainer):
    with counted() as ledger:
        trainer.train_step()
    assert ledger.kernels["encode_adjoint_table_atomic"] == 1  # it has trained
    assert ledger.num_launches <= 120, str(ledger)
    assert ledger.num_waits <= 1, str(ledger)


def test_an_update_of_the_grid(trainer):
    with counted() as ledger:
        trainer.model.renderer.update_occupancy(trainer.generator)
    assert ledger.kernels["encode"] == 1
    assert ledger.num_launches <= 64, str(ledger)
    assert ledger.num_waits <= 2, str(ledger)


def test_a_round_of_rendering(trainer):
    work = trainer.model.eval().renderer.begin(rays_through_box(400).to(DEVICE), at_once=64)
    work.advance()
    with counted() as ledger:
        work.advance()
    assert ledger.kernels["encode"] == 1
    assert ledger.num_launches <= 75, str(ledger)
    assert ledger.num_waits <= 2, str(ledger)
