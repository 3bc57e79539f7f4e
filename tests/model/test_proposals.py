import dataclasses

import pytest
import torch
from tiny import ball_scene, rays_through_box, tiny_config, tiny_model

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.geometry.contraction import uncontract
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.proposals import (
    EXPLORE,
    Histogram,
    draw_borders,
    histogram_weights,
    propose,
    widened,
)
from taichi_pynerf.ops.compositing import composite
from taichi_pynerf.training.optimization.optimizers import build_optimizers, parameter_groups
from taichi_pynerf.training.trainer import PyNeRFTrainer


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def some_histogram(num_rays=50, num_bins=20, seed=0):
    borders = torch.rand(num_rays, num_bins + 1, generator=seeded(seed)).sort(-1).values
    return Histogram(borders, torch.rand(num_rays, num_bins, generator=seeded(seed + 1)) ** 4)


# ---- weights and borders ----------------------------------------------------------------------


def test_weights_are_those_of_compositing():
    num_rays, count = 30, 12
    t = torch.rand(num_rays, count + 1, generator=seeded()).cumsum(-1)
    sigmas = 2 * torch.rand(num_rays, count, generator=seeded(1))
    first = torch.arange(num_rays, dtype=torch.int32) * count
    packed_info = torch.stack([first, torch.full_like(first, count)], -1)
    expected = composite(
        sigmas.reshape(-1), torch.zeros(num_rays * count, 3), t[:, :-1].reshape(-1),
        t[:, 1:].reshape(-1), packed_info,
    ).weights  # fmt: skip
    torch.testing.assert_close(histogram_weights(sigmas * t.diff(dim=-1)).reshape(-1), expected)


def test_the_gradient_of_weights():
    depths = torch.rand(3, 5, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(histogram_weights, depths)


@pytest.mark.parametrize("jitter", [False, True])
def test_borders_fill_the_ray_in_order(jitter):
    found = some_histogram()
    borders = draw_borders(found, 9, torch.rand(50, 1, generator=seeded(2)) if jitter else 0.5)
    assert borders.shape == (50, 10)
    assert (borders.diff(dim=-1) >= 0).all()
    assert torch.equal(borders[:, 0], found.borders[:, 0])
    assert torch.equal(borders[:, -1], found.borders[:, -1])


def test_as_many_borders_fall_into_an_interval_as_it_has_weight():
    found, count = some_histogram(num_rays=4), 4001
    borders = draw_borders(found, count)[:, 1:-1]
    inside = (borders.unsqueeze(-1) >= found.borders[:, None, :-1]) & (
        borders.unsqueeze(-1) < found.borders[:, None, 1:]
    )
    spans = found.borders.diff(dim=-1)
    expected = (1 - EXPLORE) * found.weights / found.weights.sum(-1, keepdim=True)
    expected = expected + EXPLORE * spans / spans.sum(-1, keepdim=True)
    torch.testing.assert_close(inside.float().mean(1), expected, rtol=0, atol=2e-3)


def test_a_ray_of_no_weight_is_sampled_evenly():
    found = some_histogram(num_rays=3)
    found = Histogram(torch.linspace(0, 1, 21).repeat(3, 1), torch.zeros_like(found.weights))
    gaps = draw_borders(found, 11)[:, 1:-1].diff(dim=-1)
    torch.testing.assert_close(gaps, torch.full_like(gaps, 0.1), rtol=1e-3, atol=1e-4)


def test_the_offset_moves_the_borders_of_each_ray_by_its_own_share():
    found = Histogram(torch.linspace(0, 1, 21).repeat(200, 1), torch.ones(200, 20))
    offsets = torch.rand(200, 1, generator=seeded())
    inner = draw_borders(found, 11, offsets)[:, 1:-1]
    torch.testing.assert_close(inner[:, :1], offsets / 10, rtol=0, atol=1e-4)
    torch.testing.assert_close(inner.diff(dim=-1), torch.full((200, 9), 0.1), rtol=0, atol=1e-4)


def test_widened_weights_reach_into_their_neighbours():
    weights = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0, 0.5]])
    expected = torch.tensor([[0.0, 0.5, 1.0, 0.5, 0.25, 0.5]])
    torch.testing.assert_close(widened(weights), expected)
    assert (widened(some_histogram().weights) >= some_histogram().weights - 1e-6).all()


# ---- along rays -------------------------------------------------------------------------------


def test_every_round_comes_closer_to_what_is_there():
    def wall(x):
        return 200.0 * (uncontract(4 * x - 2).norm(dim=-1) > 2)

    config = tiny_config(sampler="proposal", proposal_rounds=3, unbounded=True)
    box = SceneBox(config.aabb, config.unbounded, config.num_cascades)
    rays = rays_through_box()
    rays = dataclasses.replace(rays, rays_o=0.1 * rays.rays_o)  # from within the wall
    _, rounds = propose(wall, box, rays, config)
    spreads = []
    for borders, weights in rounds:
        t = box.from_spacing(borders)
        middle = (weights.cumsum(-1) < 0.5 * weights.sum(-1, keepdim=True)).sum(-1, keepdim=True)
        spreads.append(float(t.diff(dim=-1).gather(1, middle).mean()))
    assert spreads[1] < 0.2 * spreads[0]
    assert spreads[2] < 0.2 * spreads[1]


@pytest.mark.parametrize("unbounded", [False, True])
@pytest.mark.parametrize("jitter", [False, True])
def test_one_kernel_gives_the_borders_of_the_rounds(unbounded, jitter):
    model = tiny_model(sampler="proposal", unbounded=unbounded)
    with torch.no_grad():
        model.proposals.encoder.table.uniform_(-3, 3, generator=seeded())
    rays, how = rays_through_box(), {"explore": 0.1}
    borders = [
        propose(
            model.proposals, model.renderer.box, rays, model.config,
            generator=seeded() if jitter else None, learn=learn, **how,
        ).borders
        for learn in (False, True)
    ]  # fmt: skip
    difference = (borders[0] - borders[1]).abs()
    assert (difference < 1e-4 * borders[1].max()).float().mean() > 0.97


def test_few_rays_and_none_are_rendered():
    model = tiny_model(sampler="proposal").eval()
    rays = rays_through_box(5)
    whole = model.renderer.render_rays(rays)
    one = model.renderer.render_rays(rays[2:3])
    torch.testing.assert_close(whole.rgb[2:3], one.rgb)
    assert model.renderer.render_rays(rays[:0]).rgb.shape == (0, 3)


# ---- training ---------------------------------------------------------------------------------


def test_the_small_field_learns_where_the_large_one_is():
    dataset = PyNeRFDataset.from_scene(ball_scene(), white_background=True)
    config = tiny_config(
        sampler="proposal", proposal_samples=16, fine_samples=12, max_steps=80, background="random"
    )
    model = tiny_model(**{k: v for k, v in config.to_dict().items() if k != "aabb"})
    trainer = PyNeRFTrainer(model, config, dataset, progress=False)
    first = trainer.train_step()
    last = trainer.train()
    assert last["color_loss"] < 0.2 * first["color_loss"]
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=seeded()), dim=-1)
    surface, around = (model.proposals(0.5 + r * directions).mean() for r in (0.29, 0.45))
    assert surface > 5 * around  # the ball has the radius 0.3, in field coordinates


def test_the_small_field_has_a_place_in_every_optimizer():
    model = tiny_model(sampler="proposal")
    ours = {id(parameter) for parameter in model.parameters()}
    groups = parameter_groups(model)
    assert {id(p) for group in groups.values() for p in group} == ours
    assert sum(len(group) for group in groups.values()) == len(ours)
    assert set(build_optimizers(model, 1e-2)) == {"tables", "networks"}


def test_no_small_field_where_no_sampler_asks_for_one():
    assert tiny_model().proposals is None
    assert not any("proposals" in name for name in tiny_model().state_dict())
