"""The losses of depth."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import ball_scene, tiny_config, tiny_model

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.data.drawing.sightings import Sightings
from taichi_pynerf.ops.ray_march import Samples
from taichi_pynerf.training.depth_losses import DEPTH_LOSSES
from taichi_pynerf.training.losses import PyNeRFLoss
from taichi_pynerf.training.trainer import PyNeRFTrainer

NUM_RAYS, PER_RAY = 6, 20


def batch(weights):
    """Rays of 20 samples from 1 to 5, and what a loss is told of them."""
    borders = torch.linspace(1, 5, PER_RAY + 1)
    ray = torch.arange(NUM_RAYS, dtype=torch.int32)
    samples = Samples(
        borders[:-1].repeat(NUM_RAYS), borders[1:].repeat(NUM_RAYS),
        ray.repeat_interleave(PER_RAY),
        torch.stack([ray * PER_RAY, torch.full_like(ray, PER_RAY)], -1),
    )  # fmt: skip
    middles = (samples.t_starts + samples.t_ends) / 2
    acc = weights.view(NUM_RAYS, -1).sum(1)
    mean = (weights * middles).view(NUM_RAYS, -1).sum(1) / acc.clamp_min(1e-6)
    render = SimpleNamespace(samples=samples, weights=weights)
    return {"depth": mean, "render": render, "progress": 0.5}


def surface(at):
    """All light of each ray from the sample around a distance."""
    weights = torch.zeros(NUM_RAYS, PER_RAY)
    weights[:, int((at - 1) / 0.2)] = 1
    return weights.view(-1)


def loss_of(name, weights, depth, counts=None):
    counts = torch.ones(NUM_RAYS) if counts is None else counts
    return DEPTH_LOSSES[name](batch(weights), depth, counts, lambda t: t, 0.5)


@pytest.mark.parametrize("name", DEPTH_LOSSES)
def test_a_surface_at_its_place_costs_nothing_and_elsewhere_more(name):
    target = torch.full((NUM_RAYS,), 3.1)
    assert loss_of(name, surface(3.1), target).item() == pytest.approx(0, abs=1e-6)
    assert loss_of(name, surface(2.1), target) > 0.5
    assert loss_of(name, surface(4.1), target) > 0.5


@pytest.mark.parametrize("name", DEPTH_LOSSES)
def test_unknown_depths_count_for_nothing(name):
    unknown = torch.tensor([0.0, math.nan, -1.0, math.inf, 0.0, math.nan])
    weights = surface(2.1).requires_grad_()
    loss = loss_of(name, weights, unknown)
    loss.backward()
    assert loss == 0
    assert not weights.grad.any()
    half = torch.tensor([3.1, math.nan] * 3)
    assert loss_of(name, surface(2.1), half) == pytest.approx(
        loss_of(name, surface(2.1), torch.full((NUM_RAYS,), 3.1)).item() / 2
    )


@pytest.mark.parametrize("name", DEPTH_LOSSES)
def test_a_pixel_counts_for_as_much_as_its_weight(name):
    depth, counts = torch.full((NUM_RAYS,), 3.1), torch.arange(NUM_RAYS).float()
    one = torch.eye(NUM_RAYS)
    parts = [loss_of(name, surface(2.1), depth, one[i] * counts[i]) for i in range(NUM_RAYS)]
    assert loss_of(name, surface(2.1), depth, counts).item() == pytest.approx(sum(parts).item())


@pytest.mark.parametrize("name", DEPTH_LOSSES)
def test_gradients_are_those_of_finite_differences(name):
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(NUM_RAYS * PER_RAY, generator=generator, dtype=torch.float64) * 0.05
    depth = torch.tensor([1.5, 2.2, 3.1, 4.0, 0.0, 4.9], dtype=torch.float64)
    counts = torch.rand(NUM_RAYS, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda w: loss_of(name, w, depth, counts), weights.requires_grad_()
    )


def test_light_that_is_stopped_on_its_way_costs_more_than_haze():
    target = torch.full((NUM_RAYS,), 3.1)
    at_once, haze = 0.4 * surface(2.1), surface(3.1) * 0
    haze = haze + sum(0.1 * surface(t) for t in (1.3, 1.7, 2.1, 2.5))
    hit = 0.6 * surface(3.1)
    assert loss_of("urban", hit + at_once, target) > loss_of("urban", hit + haze, target)


def test_the_loss_has_depth_where_it_has_a_weight_and_a_target():
    outputs = {"rgb": torch.rand(NUM_RAYS, 3), **batch(surface(2.1))}
    outputs["acc"] = torch.ones(NUM_RAYS)
    targets = {"rgb": torch.rand(NUM_RAYS, 3), "weights": torch.ones(NUM_RAYS)}
    off = {"pyramid_loss_weight": 0.0}
    with_depth = {**targets, "depth": torch.full((NUM_RAYS,), 3.1)}
    loss = PyNeRFLoss(tiny_config(**off, depth_loss_weight=0.5))
    assert set(loss(outputs, targets)) == {"total_loss", "color_loss"}
    found = loss(outputs, with_depth)
    assert found["total_loss"].item() == pytest.approx(
        (found["color_loss"] + 0.5 * found["depth_loss"]).item()
    )
    assert set(PyNeRFLoss(tiny_config(**off))(outputs, with_depth)) == {"total_loss", "color_loss"}


def ball_with_depth(num_views=3, size=24):
    """The ball, with the distances to its surface along the optical axes."""
    scene = ball_scene(num_views, size)
    data, depths = PyNeRFDataset.from_scene(scene), []
    for view in range(num_views):
        rays = data.rays(view)
        middle = -(rays.rays_o * rays.rays_d).sum(-1)
        half_chord_squared = 0.6**2 - (rays.rays_o + middle[:, None] * rays.rays_d).square().sum(-1)
        along = middle - half_chord_squared.clamp_min(0).sqrt()
        cosines = -(rays.rays_d * data.cameras.c2w[view, :, 2]).sum(-1)
        depth = torch.where(half_chord_squared > 0, along * cosines, 0.0)
        depths.append(depth.numpy())
    return dataclasses.replace(scene, depths=np.concatenate(depths))


@pytest.mark.parametrize("name", DEPTH_LOSSES)
def test_training_with_depth_finds_the_surface(name):
    """Two views hardly show the place of a ball's colours; its depths do."""
    data = PyNeRFDataset.from_scene(ball_with_depth(2))
    errors = {}
    for weight in (0.0, 0.3):
        model = tiny_model(
            max_steps=150, carve=False, background="random",
            depth_loss=name, depth_loss_weight=weight,
        )  # fmt: skip
        PyNeRFTrainer(model, train_dataset=data, progress=False).train()
        rays, depth = data.rays(0), data.depth(0).reshape(-1)
        out = model.eval().renderer.render_rays(rays)
        errors[weight] = (out.depth - depth).abs()[depth > 0].mean().item()
    assert errors[0.3] < 0.7 * errors[0.0]


def test_training_with_a_few_sparse_points_finds_the_surface():
    """Some forty points per view say nearly as much as all depths."""
    full = ball_with_depth(2)
    seen = torch.from_numpy(full.depths).nonzero().squeeze(1)
    seen = seen[torch.randperm(len(seen), generator=torch.Generator().manual_seed(0))[:80]]
    per_view = len(full.depths) // 2
    sightings = Sightings(
        seen // per_view, seen % per_view, torch.from_numpy(full.depths).index_select(0, seen)
    )
    scene = dataclasses.replace(full, depths=None, sightings=sightings)
    measured, errors = PyNeRFDataset.from_scene(full), {}
    rays, depth = measured.rays(0), measured.depth(0).reshape(-1)
    for weight in (0.0, 0.3):
        model = tiny_model(
            max_steps=150, carve=False, background="random", sparse_depth_weight=weight
        )
        figures = PyNeRFTrainer(
            model, train_dataset=PyNeRFDataset.from_scene(scene), progress=False
        ).train()
        assert "sparse_depth_loss" not in figures  # the last step has none
        out = model.eval().renderer.render_rays(rays)
        errors[weight] = (out.depth - depth).abs()[depth > 0].mean().item()
    assert errors[0.3] < 0.8 * errors[0.0]
