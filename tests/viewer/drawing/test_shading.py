"""Display modes, compared with pictures of known colours."""

import math

import numpy as np
import pytest
import torch
from tiny import ball_scene, tiny_model
from torch.nn import functional

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.geometry.rays import Rays, view_rays
from taichi_pynerf.model.images import surface_normals
from taichi_pynerf.model.renders import Rendered
from taichi_pynerf.viewer.drawing.layers import Layers
from taichi_pynerf.viewer.drawing.progressive import Patch, Shot
from taichi_pynerf.viewer.drawing.shading import depth_range, error_map, shade
from taichi_pynerf.viewer.settings import Mode, ViewSettings
from taichi_pynerf.viewer.views import TrainingViews

WHITE = torch.ones(3)
SIZE = 32


@pytest.fixture(scope="module")
def views():
    return TrainingViews(PyNeRFDataset.from_scene(ball_scene(size=SIZE)), size=2.0)


@pytest.fixture
def patch(views):
    """What a perfect model of the ball gives: the image's own colours, the ball's own depths."""
    camera = views.camera(1)
    rays = view_rays(camera.cameras(SIZE, SIZE), 0)
    middle = -(rays.rays_o * rays.rays_d).sum(-1)
    half = 0.36 - (rays.rays_o + middle[:, None] * rays.rays_d).square().sum(-1)
    depth = torch.where(half > 0, middle - half.clamp_min(0).sqrt(), 0.0).view(SIZE, SIZE)
    acc = (half > 0).float().view(SIZE, SIZE)
    layers = Layers(views.image(1, torch.zeros(3)), depth, acc, torch.ones(SIZE, SIZE))
    return Patch(layers, (0, 0, SIZE, SIZE), (SIZE, SIZE), Shot(camera, SIZE, SIZE))


def shown(patch, views=None, **settings):
    return shade(
        patch, ViewSettings(**settings), depths=(1.0, 5.0), num_levels=4, far=8.0, views=views
    )


def test_colour_is_over_the_background(patch, views):
    image = shown(patch, background=(0.0, 1.0, 0.0))
    want = views.image(1, torch.tensor([0.0, 1.0, 0.0]))
    assert np.abs(image - want.numpy() * 255).max() <= 1


def test_a_stop_of_exposure_is_twice_the_light(patch):
    brighter = shown(patch, exposure=1.0, background=(0.0, 0.0, 0.0)).astype(float)
    plain = shown(patch, background=(0.0, 0.0, 0.0)).astype(float)
    middle = (plain > 20) & (brighter < 250)
    assert middle.any()
    light = (brighter[middle] / 255) ** 2.2 / (plain[middle] / 255) ** 2.2
    assert np.median(light) == pytest.approx(2.0, rel=0.05)
    corner = shown(patch, exposure=3.0, background=(0.5, 0.5, 0.5))[0, 0]
    assert corner.tolist() == [128, 128, 128]  # the background is no light


def test_maps_show_the_background_where_nothing_is(patch):
    for mode in (Mode.DEPTH, Mode.LEVEL, Mode.NORMALS):
        image = shown(patch, mode=mode, background=(0.2, 0.4, 0.6))
        assert image[0, 0].tolist() == [51, 102, 153]
        assert image[16, 16].tolist() != [51, 102, 153]
    assert shown(patch, mode=Mode.OPACITY)[0, 0].tolist() == [0, 0, 0]
    assert shown(patch, mode=Mode.OPACITY)[16, 16].tolist() == [255, 255, 255]


def test_near_is_light_in_the_depth_map(patch):
    lightness = shown(patch, mode=Mode.DEPTH).astype(int).sum(-1)
    depth = patch.layers.depth.numpy()
    seen = depth > 0
    nearest = np.where(seen, depth, np.inf).argmin()
    farthest = np.where(seen, depth, -np.inf).argmax()
    assert lightness.flat[nearest] > lightness.flat[farthest]


def test_the_depth_range_is_of_what_is_seen(patch):
    low, high = depth_range(patch.layers)
    seen = patch.layers.depth[patch.layers.acc > 0.5]
    assert float(seen.min()) <= low < high <= float(seen.max())
    assert depth_range(Layers.empty(4, 4)) == (0.0, 1.0)


# ---- error ---------------------------------------------------------------------------------


def test_a_perfect_picture_has_no_error_at_its_own_camera(patch, views):
    error, known = error_map(patch, views, WHITE, far=8.0)
    assert known.all()
    assert error.max() < 2e-3


def test_the_error_is_where_the_colours_differ(patch, views):
    patch.layers.rgb[10:14, 12:20] = 0.0
    error, _ = error_map(patch, views, WHITE, far=8.0)
    assert error[11:13, 13:19].min() > 0.1
    assert error[20:].max() < 2e-3


def test_a_part_of_the_picture_has_the_errors_of_the_whole(patch, views):
    patch.layers.rgb[10:14, 12:20] = 0.0
    whole, _ = error_map(patch, views, WHITE, far=8.0)
    box = (8, 6, 24, 30)
    part = Patch(patch.layers.crop(box), box, patch.size, patch.shot)
    error, _ = error_map(part, views, WHITE, far=8.0)
    torch.testing.assert_close(error, whole[6:30, 8:24], atol=1e-5, rtol=1e-4)


def test_points_outside_of_the_image_are_unknown(patch, views):
    wide = Shot(patch.shot.camera.with_fov(1.8), SIZE, SIZE)
    wider = Patch(patch.layers, patch.box, patch.size, wide)
    _, known = error_map(wider, views, WHITE, far=8.0)
    assert not known[0, 0]
    assert known[16, 16]
    assert shown(wider, views=views, mode=Mode.ERROR)[0, 0].tolist() == [96, 96, 96]


# ---- normals -------------------------------------------------------------------------------


def test_normals_of_a_ball_point_outwards(monkeypatch):
    model = tiny_model()

    def density(positions, levels):
        """Falls off around a ball of radius 0.6 in the middle of the box."""
        return torch.exp(20.0 * (0.6 - (2.0 * positions - 1.0).norm(dim=-1)))

    monkeypatch.setattr(model.field, "density", density)
    generator = torch.Generator().manual_seed(0)
    directions = functional.normalize(torch.randn(50, 3, generator=generator), dim=-1)
    rays = Rays(
        3 * directions, -directions, torch.full((50,), 1e-4), torch.tensor([[0.0, 8.0]] * 50)
    )
    acc = torch.ones(50)
    acc[::5] = 0.2
    rendered = Rendered(torch.zeros(50, 3), torch.full((50,), 2.4), acc, torch.full((50,), 2.0))
    normals = surface_normals(model, rays, rendered)
    assert (normals * directions).sum(-1)[acc > 0.5].min() > math.cos(math.radians(4))
    assert not normals[acc < 0.5].any()
