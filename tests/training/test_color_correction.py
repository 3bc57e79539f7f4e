"""Exposure and white balance of each photograph, learned with the scene."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny import ball_scene, tiny_model

from taichi_pynerf.data.datasets import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.demo.unbounded import exposed, random_gains
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.training.color_correction import (
    ColorCorrection,
    exposures_differ,
    neighbour_difference,
    within_range,
)
from taichi_pynerf.training.scene_fit import fit_to_scene
from taichi_pynerf.training.trainer import PyNeRFTrainer


def pixels(count=30, num_views=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    acc = torch.rand(count, generator=generator, dtype=dtype)
    rgb = torch.rand(count, 3, generator=generator, dtype=dtype) * acc[:, None]
    views = torch.randint(num_views, (count,), generator=generator)
    return rgb, acc, views


def perturbed(names, dtype=torch.float32):
    colors = ColorCorrection(names).to(dtype)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        colors.embeddings.copy_(torch.randn(colors.embeddings.shape, generator=generator) * 0.1)
    return colors


def test_a_fresh_correction_changes_nothing_and_costs_nothing():
    colors = ColorCorrection(["a", "b", "c", "d"])
    rgb, acc, views = pixels()
    assert torch.equal(colors(rgb, acc, views), rgb)
    assert colors.penalty() == 0
    assert torch.equal(colors.gains(), torch.ones(4, 3))


def test_maps_are_affine_in_straight_colours_whatever_the_opacity():
    colors = perturbed(["a", "b", "c", "d"])
    rgb, acc, views = pixels()
    out = colors(rgb, acc, views)
    for i, view in enumerate(views.tolist()):
        straight = rgb[i] / acc[i]
        matrix, offset = colors.embeddings[view].split([3, 1])
        expected = acc[i] * (straight + straight @ matrix + offset[0])
        torch.testing.assert_close(out[i], expected)


def test_views_of_one_name_are_one_photograph():
    colors = perturbed(["a", "b", "a", "b"])
    rgb, acc, _ = pixels(6)
    fine, coarse = (colors(rgb, acc, torch.full((6,), view)) for view in (1, 3))
    other = colors(rgb, acc, torch.zeros(6, dtype=torch.int64))
    assert torch.equal(fine, coarse)
    assert not torch.equal(fine, other)
    assert len(colors.gains()) == 2


def test_gradients_are_those_of_finite_differences():
    colors = perturbed(["a", "b", "c", "d"], torch.float64)
    rgb, acc, views = pixels(5, dtype=torch.float64)

    def value(embeddings, rgb, acc):
        with torch.no_grad():
            colors.embeddings.copy_(embeddings)
        out = torch.func.functional_call(colors, {"embeddings": embeddings}, (rgb, acc, views))
        return out

    inputs = [x.detach().clone().requires_grad_() for x in (colors.embeddings, rgb, acc)]
    assert torch.autograd.gradcheck(value, inputs)


def test_what_a_camera_could_not_record_may_be_brighter():
    photo = torch.tensor([[1.0, 0.5, 1.0]])
    rgb = torch.tensor([[1.7, 1.2, 0.9]])
    assert within_range(rgb, photo).tolist() == [[1.0, pytest.approx(1.2), pytest.approx(0.9)]]


# ---- does it pay, and when ----------------------------------------------------------------------


def exposed_scene(stops, num_views=24, size=16):
    """A ball with the same colours on all sides before a grey wall, each picture of another
    exposure; and the gains.
    """
    scene = ball_scene(num_views, size)
    gains = random_gains(num_views, stops, 3, "train")
    for image, gain in zip(scene.images, gains, strict=True):
        alpha = image[..., 3:] / 255  # 0 or 1
        rgb = 0.1 + 0.6 * abs(image[..., :3] / 127.5 - 1)
        rgb = alpha * rgb + (1 - alpha) * 0.4
        rgb = (exposed(rgb, gain).clip(0, 1) * 255).round()
        image[..., :3] = rgb
        image[..., 3] = 255
    return dataclasses.replace(scene, unbounded=True), gains


def test_maps_find_the_exposures_and_their_mean_stays_the_identity():
    """Of colours that are the same in all photographs."""
    gains = random_gains(8, 0.8, 3, "train")
    generator = torch.Generator().manual_seed(0)
    colors = ColorCorrection([str(view) for view in range(8)])
    optimizer = torch.optim.Adam(colors.parameters(), lr=2e-2)
    for _ in range(300):
        rgb, views = torch.rand(256, 3, generator=generator), torch.arange(256) % 8
        photo = torch.from_numpy(exposed(rgb.numpy(), gains[views])).float()
        out = within_range(colors(rgb, torch.ones(256), views), photo)
        optimizer.zero_grad()
        ((out - photo).square().mean() + colors.penalty()).backward()
        optimizer.step()
    grey = torch.full((8, 3), 0.5)
    found = colors(grey, torch.ones(8), torch.arange(8)).detach().log2()
    true = torch.from_numpy(exposed(grey.numpy(), gains)).float().log2()
    found, true = found - found.mean(0), true - true.mean(0)
    assert (found - true).abs().mean() < 0.25 * true.abs().mean()
    assert colors.embeddings.mean(0).abs().max() < 0.05


def test_the_exposure_of_an_unseen_photograph_follows_from_exif():
    """Maps learned from photographs of known exposures; two views are scales of each."""
    stops = torch.tensor([-1.0, -0.7, -0.4, 0.0, 0.3, 0.6, 0.9])
    generator = torch.Generator().manual_seed(0)
    colors = ColorCorrection([str(view) for view in range(7)] * 2)
    optimizer = torch.optim.Adam(colors.parameters(), lr=2e-2)
    for _ in range(300):
        rgb, views = torch.rand(256, 3, generator=generator), torch.arange(256) % 14
        light = torch.exp2(stops[views % 7, None]).numpy()
        photo = torch.from_numpy(exposed(rgb.numpy(), light)).float()
        out = within_range(colors(rgb, torch.ones(256), views), photo)
        optimizer.zero_grad()
        ((out - photo).square().mean() + colors.penalty()).backward()
        optimizer.step()
    assert colors.response(torch.full((14,), torch.nan))[0] is None
    response, _ = colors.response(stops.repeat(2))
    assert response.photos == 7
    grey = torch.full((1, 3), 0.5).numpy()
    for new in (-0.8, 0.5):
        true = float(exposed(grey, np.float32([2.0**new])).mean() / 0.5)
        assert abs(response.gain(new) - true) < 0.25 * abs(1 - true)


def test_exposures_differ_by_what_neighbours_show():
    alike, _ = exposed_scene(0.0)
    varied, _ = exposed_scene(1.0)
    alike, varied = (PyNeRFDataset.from_scene(scene) for scene in (alike, varied))
    assert neighbour_difference(alike) < neighbour_difference(varied)
    assert not exposures_differ(alike)
    assert exposures_differ(varied)


@pytest.mark.parametrize(
    ("stops", "differ"), [([0.0] * 24, False), ([0.0, 1.0] * 12, True), ([torch.nan] * 24, False)]
)
def test_exposures_differ_by_exif(stops, differ):
    scene, _ = exposed_scene(0.0)
    scene = dataclasses.replace(scene, exposures=torch.tensor(stops))
    for data in (PyNeRFDataset.from_scene(scene), MultiScaleDataset.from_scene(scene, [1, 2])):
        assert exposures_differ(data) == differ


def test_auto_is_decided_by_the_scene():
    alike, varied = (PyNeRFDataset.from_scene(exposed_scene(s)[0]) for s in (0.0, 1.0))
    model = tiny_model()
    config = model.config.replace(color_correction="auto")
    assert fit_to_scene(config, alike).color_correction == "none"
    assert fit_to_scene(config, varied).color_correction == "affine"
    bounded = PyNeRFDataset.from_scene(dataclasses.replace(exposed_scene(1.0)[0], unbounded=False))
    assert fit_to_scene(config, bounded).color_correction == "none"
    with pytest.raises(ConfigError, match='color_correction is "auto"'):
        PyNeRFTrainer(model, config, alike, progress=False)


def test_a_resumed_training_goes_on_with_the_same_maps():
    data = PyNeRFDataset.from_scene(exposed_scene(1.0, num_views=4)[0])

    def trainer():
        model = tiny_model(color_correction="affine", max_steps=8, carve=False)
        return PyNeRFTrainer(model, train_dataset=data, progress=False)

    whole, first, second = trainer(), trainer(), trainer()
    whole.train()
    for _ in range(4):
        first.train_step()
    second.model.load_state_dict(first.model.state_dict())
    second.load_state_dict(first.state_dict())
    second.train()
    assert whole.colors.embeddings.abs().max() > 0
    assert torch.equal(second.colors.embeddings, whole.colors.embeddings)
