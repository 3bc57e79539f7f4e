"""Rendering on the pretend device: rounds, images, metrics, exports, the viewer's pictures."""

import numpy as np
import pytest
import torch
from machine import pretend_machine, to_host
from pretend import DEVICE, counted
from tiny import ball_scene, rays_through_box, roughen, tiny_config

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.evaluation.evaluation import evaluate
from taichi_pynerf.export.points import extract_point_cloud, rays_of_views
from taichi_pynerf.export.points import rays_through_box as lines
from taichi_pynerf.export.surface import Surface
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.model.images import RenderOptions, render_image
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.drawing.canvas import PictureCanvas
from taichi_pynerf.viewer.drawing.progressive import ProgressiveRenderer, Shot
from taichi_pynerf.viewer.settings import Mode, ViewSettings
from taichi_pynerf.viewer.views import TrainingViews

# Settings, and the most waits of a round or of a chunk of rays.
WAYS = {
    "occupancy": ({}, 2),
    "hierarchical": ({"sampler": "hierarchical"}, 0),
    "proposal": ({"sampler": "proposal"}, 0),
    "colours blended": ({"output_interpolation": "color"}, 3),
    "a grid for each level": ({"share_feature_grid": False}, 3),
    "unbounded": ({"unbounded": True, "num_cascades": 3}, 2),
    "mixed precision": ({"mixed_precision": True}, 3),
    "one level": ({"single_level": True}, 2),
}


@pytest.fixture(scope="module")
def data():
    return PyNeRFDataset.from_scene(ball_scene(num_views=3, size=24), white_background=True)


@pytest.fixture
def machine(data):  # the scene is made before
    with pretend_machine():
        yield


def rough_model(**settings) -> PyNeRF:
    """A model on the device whose field is rough everywhere."""
    model = PyNeRF(tiny_config(pyramid_loss_weight=0.0, **settings)).eval()
    roughen(model.field)
    return model


@pytest.mark.parametrize(("settings", "most_waits"), WAYS.values(), ids=WAYS)
def test_a_round_of_every_way_to_render_waits_seldom(machine, settings, most_waits):
    model = rough_model(**settings)
    rays = rays_through_box(400).to(DEVICE)
    work = model.renderer.begin(rays, at_once=64)
    work.advance()
    with counted() as ledger:
        work.advance()
    assert not work.finished
    assert ledger.num_waits <= most_waits, str(ledger)


def test_pixels_are_those_of_the_processor(data):
    here = rough_model()
    expected = render_image(here, data.cameras, 0, data.near, data.far)
    with pretend_machine():
        there = rough_model()
        found = render_image(there, data.cameras, 0, data.near, data.far)
    for name, image in expected.items():
        torch.testing.assert_close(found[name], image, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        RenderOptions(normals=True),
        RenderOptions(level=1.0, supersample=2),
        RenderOptions(stride=2, crop=CropBox((0.1, 0.0, 0.0), (1.0, 1.2, 0.8), (0.0, 0.3, 0.1))),
    ],
    ids=["normals", "one level, supersampled", "cropped sample"],
)
def test_images(machine, data, options):
    out = render_image(
        rough_model(render_step=0.5), data.cameras, 0, data.near, data.far, options=options
    )
    assert all(image.isfinite().all() for image in out.values())
    assert out["acc"].max() > 0.5


@pytest.mark.parametrize("sampler", ["occupancy", "proposal"])
def test_evaluation(machine, data, sampler):
    found = evaluate(rough_model(sampler=sampler), data, [0, 2])
    assert 0 < found["psnr"] < 40
    assert len(found["images"]) == 2


@pytest.mark.parametrize("with_views", [True, False])
def test_points(machine, data, with_views, monkeypatch):
    monkeypatch.setattr("taichi_pynerf.export.points.RAYS_PER_ROUND", 256)
    model = rough_model()
    source = rays_of_views(data) if with_views else lines(model)
    cloud = extract_point_cloud(model, source, num_points=50, min_opacity=0.5)
    assert len(cloud) == 50
    assert np.isfinite(cloud.points).all()


def test_surfaces(machine):
    surface = Surface(rough_model(), 0.05)
    points = 0.4 * torch.rand(30, 3)
    assert surface.density(points).isfinite().all()
    assert surface.normal(points).isfinite().all()


@pytest.mark.parametrize("mode", [Mode.COLOUR, Mode.NORMALS, Mode.ERROR])
def test_the_viewer_draws(machine, data, mode):
    model = rough_model()
    views = TrainingViews(data, model.renderer.box.size)
    renderer = ProgressiveRenderer(model, data.near, data.far)
    camera: ViewCamera = views.camera(0)
    renderer.look(Shot(camera, 24, 24, normals=mode is Mode.NORMALS))
    canvas = PictureCanvas(renderer, views)
    settings = ViewSettings(mode=mode)
    while not renderer.at_rest:
        canvas.update(settings, 10.0, refine=True)
    picture = canvas.image((24, 24), settings.background)
    assert picture.shape == (24, 24, 3)
    assert picture.std() > 0


def test_the_model_itself_is_differentiable_there(machine):
    model = rough_model().train()
    rays = rays_through_box(20).to(DEVICE)
    out = model(rays.rays_o, 2 * rays.rays_d, rays.bounds, background=torch.ones(3).to(DEVICE))
    out["rgb"].sum().backward()
    assert to_host(model.field.encoders[0].table.grad).abs().sum() > 0
