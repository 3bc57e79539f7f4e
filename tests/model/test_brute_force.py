"""The renderer skips and stops; brute force takes every step to the end. Both draw one picture."""

import pytest
import torch
from tiny import ball_scene, tiny_model

from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.model.pyramid import get_pyramid_level
from taichi_pynerf.ops.ray_march import block_occupancy
from taichi_pynerf.reference.ray_march import is_occupied
from taichi_pynerf.reference.rendering import render_rays
from taichi_pynerf.training.trainer import PyNeRFTrainer


@pytest.fixture(scope="module")
def trained():
    """A trained model and views that it has not seen."""
    data = PyNeRFDataset.from_scene(ball_scene(num_views=8), white_background=True)
    # Small enough steps and a high enough density that rays end early.
    model = tiny_model(max_steps=150, march_resolution=96, final_learning_rate=0.5)
    PyNeRFTrainer(model, model.config, data, progress=False).train()
    unseen = PyNeRFDataset.from_scene(ball_scene(num_views=5, size=24), white_background=True)
    return model.eval(), unseen


def brute_force(model, rays):
    """Every step; the field is empty where the grid, which is part of the model, says so."""
    box = model.renderer.box

    def query(positions, ray_indices, t):
        areas = rays.pixel_areas[ray_indices] * t.square()
        levels = get_pyramid_level(areas, model.field.resolutions, box.size)
        levels = model.trained_levels.clamp(positions, levels)
        with torch.no_grad():
            out = model.field(positions, rays.rays_d[ray_indices], levels)
        return out.sigmas * is_occupied(positions, model.occupancy.occupied), out.rgbs

    return render_rays(
        box.to_unit(rays.rays_o),
        box.direction_to_unit(rays.rays_d),
        box.clip(rays.rays_o, rays.rays_d, rays.bounds),
        model.renderer.step_size * model.config.render_step,
        query,
    )


@pytest.mark.parametrize("culled", [True, False], ids=["trained grid", "every cell"])
def test_skipping_and_stopping_change_no_pixel_that_can_be_seen(trained, culled, monkeypatch):
    model, data = trained
    occupancy = model.occupancy
    if not culled:  # nothing but the field: what is left is the early stop
        full = torch.ones_like(occupancy.occupied)
        monkeypatch.setattr(occupancy, "occupied", full)
        monkeypatch.setattr(occupancy, "blocks", block_occupancy(full))
    asked = []
    codes = model.field.codes
    monkeypatch.setattr(
        model.field, "codes", lambda *args: (asked.append(len(args[0])), codes(*args))[1]
    )
    monkeypatch.setattr("taichi_pynerf.model.ray_rounds.BUSY_SAMPLES", 1)  # few samples at a time
    rays = data.rays(2).to(model.device)
    out, expected = model.renderer.render_rays(rays), brute_force(model, rays)
    for name in ("rgb", "acc"):
        assert (getattr(out, name) - getattr(expected, name)).abs().max() < 1 / 255, name
    seen = expected.acc > 0.5
    depth = expected.depth[seen] / expected.acc[seen]
    torch.testing.assert_close(out.depth[seen], depth, rtol=0, atol=1e-2)
    # And there was something to see, to skip and to stop at.
    assert 0.1 < seen.float().mean() < 1
    assert 0 < sum(asked) < (0.5 if culled else 0.95) * len(expected.weights)
    if culled:
        assert occupancy.occupied.float().mean() < 0.5
