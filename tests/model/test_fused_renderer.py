"""The fused kernel against packed samples and torch's networks: the same rays, the same pixels."""

import dataclasses
import math

import pytest
import torch
from tiny import rays_through_box, roughen, tiny_model

from taichi_pynerf.model import renderer as renderer_module
from taichi_pynerf.model.renderer import PyramidRenderer
from taichi_pynerf.training.optimization.optimizers import build_optimizers, network_parameters

MODELS = {
    "embedding": {},
    "color": {"output_interpolation": "color"},
    "nearest level, color": {"output_interpolation": "color", "level_interpolation": "none"},
    "single level": {"single_level": True},
    "more layers": {"num_layers": 4},
    "wide": {"hidden_dim": 40, "geo_feature_dim": 15, "features_per_level": 4},
    "more cells per footprint": {"cells_per_footprint": 1.7},
    "flat box": {"aabb": (-1.0, -0.4, -1.0, 1.0, 0.4, 1.0)},
}


def rough_model(occupied_share=0.6, **overrides):
    """A model of uneven density, neither empty nor opaque, with holes in its occupancy grid."""
    model = tiny_model(**overrides).eval()
    roughen(model.field)
    occupied = torch.rand(
        model.occupancy.occupied.shape, generator=torch.Generator().manual_seed(1)
    )
    model.occupancy.restrict((occupied < occupied_share).view(-1))
    return model


def renderers(model):
    """The packed and the fused renderer of a model."""
    parts = (model.config, model.field, model.occupancy, model.trained_levels)
    return PyramidRenderer(*parts, fused=False), PyramidRenderer(*parts, fused=True)


def assert_same(actual, expected, tolerance=2e-4):
    for name in ("rgb", "acc", "depth", "level"):
        torch.testing.assert_close(
            getattr(actual, name), getattr(expected, name), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("name", MODELS)
def test_fused_pixels_are_the_packed_ones(name):
    model, rays = rough_model(**MODELS[name]), rays_through_box(200)
    packed, fused = renderers(model)
    expected = packed.render_rays(rays)
    assert 0.1 < expected.acc.mean() < 0.99
    assert expected.rgb.std() > 0.05
    assert_same(fused.render_rays(rays), expected)


@pytest.mark.parametrize("level", [0, 1.4, 3])
def test_a_fixed_level(level):
    model, rays = rough_model(), rays_through_box(100)
    packed, fused = renderers(model)
    assert_same(fused.render_rays(rays, level), packed.render_rays(rays, level))


def test_levels_are_clamped_to_trained_ones():
    model, rays = rough_model(), rays_through_box(100)
    packed, fused = renderers(model)
    free = fused.render_rays(rays)
    places = torch.rand(400_000, 3, generator=torch.Generator().manual_seed(2))
    places[:, 0] *= 0.5  # half of the box was trained, at levels 1.25 to 1.75
    for level in (1.25, 1.75):
        model.trained_levels.record(places, torch.full((len(places),), level))
    clamped = fused.render_rays(rays)
    assert (clamped.rgb - free.rgb).abs().max() > 0.02
    assert_same(clamped, packed.render_rays(rays))


def test_what_training_changes_is_followed():
    model, rays = rough_model(), rays_through_box(100)
    packed, fused = renderers(model)
    before = fused.render_rays(rays)
    roughen(model.field, seed=5)
    model.occupancy.restrict(torch.arange(model.occupancy.possible.numel()) % 3 > 0)
    after = fused.render_rays(rays)
    assert (before.rgb - after.rgb).abs().max() > 0.05
    assert_same(after, packed.render_rays(rays))


def test_networks_that_an_optimizer_changes_are_followed():
    model, rays = rough_model(), rays_through_box(100)
    packed, fused = renderers(model)
    before = fused.render_rays(rays)
    optimizer = build_optimizers(model, 0.1)["networks"]
    for parameter in network_parameters(model):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    after = fused.render_rays(rays)
    assert (before.rgb - after.rgb).abs().max() > 0.02
    assert_same(after, packed.render_rays(rays))


def test_a_ray_ends_where_it_is_opaque():
    eps = 1e-2
    rays = rays_through_box(200)
    model = rough_model(1.0, march_resolution=512, early_stop_eps=0.0)
    with torch.no_grad():
        for head in model.field.heads:
            head[-1].weight[0].abs_()  # positive features on: dense
    _, to_the_end = renderers(model)
    model.config = model.config.replace(early_stop_eps=eps)
    _, stopped = renderers(model)
    whole, short = to_the_end.render_rays(rays).acc, stopped.render_rays(rays).acc
    ended = short >= 1 - eps - 1e-4  # the last sample gets what is left above the threshold
    assert 20 < ended.sum() < len(rays)
    assert (whole[ended] > short[ended]).any()
    assert (whole[ended] - short[ended]).max() <= eps + 1e-4
    assert torch.equal(whole[~ended], short[~ended])


def test_rays_that_miss_the_box_and_no_rays_at_all():
    model, rays = rough_model(), rays_through_box(3)
    rays.rays_o.add_(50.0)
    _, fused = renderers(model)
    out = fused.render_rays(rays)
    for name in ("rgb", "acc", "depth", "level"):
        assert not getattr(out, name).any()
    assert fused.render_rays(rays[:0]).rgb.shape == (0, 3)


def test_backgrounds_and_directions_of_any_length():
    model, rays = rough_model(), rays_through_box(50)
    arguments = (rays.rays_o, 2.5 * rays.rays_d, rays.bounds / 2.5, rays.pixel_areas)
    background = torch.tensor([0.2, 0.9, 0.4])
    model.renderer, fused = renderers(model)
    with torch.no_grad():
        expected = model(*arguments, background)
        model.renderer = fused
        out = model(*arguments, background)
    for name, values in expected.items():
        torch.testing.assert_close(out[name], values, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"sampler": "hierarchical"}, "hierarchical sampler"),
        ({"unbounded": True}, "unbounded scenes"),
        ({"share_feature_grid": False}, "grid per level"),
    ],
)
def test_what_the_kernel_does_not_cover_is_refused_in_words(overrides, reason):
    model = tiny_model(**overrides)
    with pytest.raises(ValueError, match=reason):
        renderers(model)


def test_fused_by_default_only_on_a_card_that_torch_cannot_use(monkeypatch):
    covered, not_covered = tiny_model(), tiny_model(unbounded=True)
    for on_gpu in (True, False):
        monkeypatch.setattr(renderer_module.runtime, "on_vulkan_gpu", lambda on=on_gpu: on)
        for model, fused in ((covered, on_gpu), (not_covered, False)):
            parts = (model.config, model.field, model.occupancy, model.trained_levels)
            assert (PyramidRenderer(*parts).fused is not None) == fused


def test_pixels_twice_as_wide_are_one_level_coarser():
    model, rays = rough_model(), rays_through_box(100)
    _, fused = renderers(model)
    out = fused.render_rays(rays)
    wide = fused.render_rays(dataclasses.replace(rays, pixel_areas=4 * rays.pixel_areas))
    inside = (out.acc > 0.05) & (out.level > 1.3) & (out.level < 2.7)
    assert inside.sum() > 10
    change = (out.level - wide.level)[inside]
    assert math.isclose(float(change.median()), 1.0, abs_tol=0.1)
