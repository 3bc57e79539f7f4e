"""Checkpoints of earlier releases open, give their pixels, and can be trained on."""

import lzma
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import ball_scene

from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.runs.checkpoint import FILE_NAME, read_checkpoint
from taichi_pynerf.runs.runs import open_run
from taichi_pynerf.training.trainer import PyNeRFTrainer

sys.path.insert(0, str(Path(__file__).parent))

from release_checkpoint import FOLDER, rays

RELEASES = sorted(path.name.removesuffix(".pth.xz") for path in FOLDER.glob("*.pth.xz"))


@pytest.fixture(params=RELEASES)
def release(request, tmp_path):
    """A release, and its checkpoint."""
    path = tmp_path / FILE_NAME
    path.write_bytes(lzma.decompress((FOLDER / f"{request.param}.pth.xz").read_bytes()))
    return request.param, path


def test_there_is_one_and_it_is_small():
    assert RELEASES
    assert all(path.stat().st_size < 200_000 for path in FOLDER.iterdir())


def test_the_pixels_are_those_of_the_release(release):
    version, path = release
    run = open_run(path)
    found = run.model(*rays())
    with np.load(FOLDER / f"{version}.npz") as expected:
        assert set(expected) == set(found)
        assert expected["acc"].max() > 0.5  # there is something to see
        for name in expected:
            np.testing.assert_allclose(found[name].numpy(), expected[name], rtol=1e-4, atol=1e-5)
    assert run.step == 40
    assert Path(run.scene.data_dir).name == "somewhere"


def test_its_training_goes_on(release):
    _, path = release
    run = open_run(path)
    data = PyNeRFDataset.from_scene(ball_scene(6, 16), white_background=True)
    config = run.config.replace(max_steps=42)
    trainer = PyNeRFTrainer(run.model, config, data, progress=False)
    trainer.load_state_dict(read_checkpoint(path)["training"])
    before = [p.detach().clone() for p in run.model.field.heads.parameters()]
    trainer.train()
    assert trainer.step == 42
    after = run.model.field.heads.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
