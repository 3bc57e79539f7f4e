"""Shimmer is the change of the error from frame to frame, not the error."""

import math

import pytest
import torch

from benchmarks.shimmer import shimmer, traced_film
from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.demo.scene import make_demo_scene
from taichi_pynerf.rendering.camera_paths import frame_cameras
from taichi_pynerf.rendering.view_sets import ViewSet


def test_a_constant_error_does_not_shimmer_and_an_alternating_one_does():
    truth = list(torch.rand(7, 4, 4, 3, generator=torch.Generator().manual_seed(0)))
    still = shimmer(iter([frame + 0.1 for frame in truth]), iter(truth))
    assert still["all"] == pytest.approx(0, abs=1e-4)
    assert still["psnr"] == pytest.approx(20, abs=1e-3)
    # In the first third of the film alone.
    shifts = [0.1, -0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    found = shimmer(iter([a + b for a, b in zip(truth, shifts, strict=True)]), iter(truth))
    assert found["far"] == pytest.approx(255 * 0.2, rel=1e-4)
    assert [found["middle"], found["near"]] == pytest.approx([0, 0], abs=1e-4)
    assert found["all"] == pytest.approx(255 * 0.2 / math.sqrt(3), rel=1e-4)


def test_the_truth_of_the_demo_scene_is_what_its_photographs_show(tmp_path):
    folder = make_demo_scene(
        tmp_path / "scene", resolution=64, num_train=1, num_val=1, num_test=1, progress=False
    )
    data = PyNeRFDataset(data_dir=folder, split="test", white_background=True)
    (frame,) = traced_film(ViewSet(data.cameras, [], data.near, data.far, data.background), 64)
    assert (frame - data.image(0)).abs().mean() < 5e-3
    assert data.image(0).std() > 0.1


def test_a_truth_that_sees_nothing_is_background():
    away = torch.eye(3, 4).unsqueeze(0)
    away[0, 2, 3], away[0, :, 2] = -4.0, torch.tensor([0.0, 0.0, 1.0])  # from below, looking down
    cameras = frame_cameras(away, torch.tensor([8.6]), 8, 8)
    (frame,) = traced_film(ViewSet(cameras, [], 0.1, 9.0, torch.ones(3)), 1)
    assert torch.equal(frame, torch.ones(8, 8, 3))
