"""Progressive drawing: the order of passes, and a final picture equal to the renderer's."""

import pytest
import torch
from tiny import roughen, tiny_model

from taichi_pynerf.geometry.rays import view_rays
from taichi_pynerf.model.images import render_rays
from taichi_pynerf.model.ray_rounds import RayRounds
from taichi_pynerf.model.renderer import PyramidRenderer
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.drawing.progressive import ProgressiveRenderer, Shot
from taichi_pynerf.viewer.drawing.tiles import tiles_from_the_middle

NEAR, FAR, SIZE = 0.05, 8.0, (160, 120)


@pytest.fixture(scope="module")
def model():
    model = tiny_model(render_step=0.5).eval()
    roughen(model.field)
    model.trained_levels.level_min.fill_(0.0)
    model.trained_levels.level_max.fill_(3.0)
    return model


@pytest.fixture
def camera():
    return ViewCamera.looking_at((2.0, -1.5, 1.0), (0, 0, 0), (0, 0, 1), 0.9)


@pytest.fixture
def renderer(model):
    return ProgressiveRenderer(model, NEAR, FAR)


def drawn_to_the_end(renderer):
    patches = []
    for _ in range(1000):
        patches += renderer.advance(0.0)
        if renderer.at_rest:
            return patches
    raise AssertionError("never at rest")


def test_the_last_pass_is_what_the_renderer_gives(renderer, model, camera):
    renderer.look(Shot(camera, *SIZE))
    drawn_to_the_end(renderer)
    layers = renderer.finished.layers
    rays = view_rays(camera.cameras(*SIZE), 0, (NEAR, FAR)).to(model.device)
    want = render_rays(model, rays)
    for name in ("rgb", "depth", "acc", "level"):
        got = getattr(layers, name).flatten(0, 1)
        torch.testing.assert_close(got, getattr(want, name), rtol=1e-4, atol=1e-5)


def test_a_fused_model_is_drawn_by_fused_renderers(model, camera, monkeypatch):
    parts = (model.config, model.field, model.occupancy, model.trained_levels)
    monkeypatch.setattr(model, "renderer", PyramidRenderer(*parts, fused=True))
    monkeypatch.setattr(PyramidRenderer, "_march_on", None)  # the way without
    renderer = ProgressiveRenderer(model, NEAR, FAR)
    renderer.look(Shot(camera, 24, 18))
    drawn_to_the_end(renderer)
    assert (renderer.finished.layers.acc > 0.5).any()


def test_passes_grow_to_the_full_size_and_show_what_is_new(renderer, camera):
    renderer.budget.num_rays = 200.0
    renderer.look(Shot(camera, *SIZE))
    patches = drawn_to_the_end(renderer)
    widths = [patch.size[0] for patch in patches]
    assert widths == sorted(widths)
    assert widths[0] < SIZE[0] / 5
    assert len(set(widths)) >= 3
    coarse = [patch for patch in patches if patch.size != SIZE]
    assert all(patch.box == (0, 0, *patch.size) for patch in coarse)
    num_tiles = len(list(tiles_from_the_middle(*SIZE)))
    assert len(patches) - len(coarse) == 2 * num_tiles  # with longer steps, with finer ones


def test_coarse_passes_ask_coarse_levels(renderer, camera):
    means = {}
    for width, height in ((12, 9), (192, 144)):
        renderer.finished = None
        renderer.budget.num_rays = float(width * height)
        renderer.look(Shot(camera, 192, 144))
        (patch,) = renderer.advance(0.0, refine=False)
        assert patch.size == (width, height)
        seen = patch.layers.acc > 0.5
        means[width] = float(patch.layers.level[seen].mean())
    # Pixels 16 times as wide are 4 levels coarser, as far as there are levels.
    assert means[12] < means[192] - 1.0


def test_a_moving_camera_gets_one_pass_a_frame(renderer, camera):
    renderer.budget.num_rays = 300.0
    for _ in range(5):
        camera = camera.orbit(0.05, 0.0)
        assert renderer.look(Shot(camera, *SIZE))
        (patch,) = renderer.advance(0.0, refine=False)
        assert patch.shot.camera is camera
        assert renderer.advance(0.0, refine=False) == []


def test_drawing_stops_when_the_time_is_over(renderer, camera, monkeypatch):
    renderer.budget.num_rays = 200.0
    renderer.look(Shot(camera, 640, 480))
    renderer.advance(0.0)
    rounds = []
    advance = RayRounds.advance
    monkeypatch.setattr(RayRounds, "advance", lambda self: (rounds.append(1), advance(self)))
    for _ in range(4):
        rounds.clear()
        renderer.advance(0.0)
        assert len(rounds) == 1


def test_all_patches_together_are_the_picture(renderer, camera):
    renderer.budget.num_rays = 200.0
    renderer._most_at_once = 3000  # rays: a part of the picture
    renderer.look(Shot(camera, *SIZE))
    for _ in range(1000):
        renderer.advance(0.0)
        progress = renderer.progress()
        if progress is not None and progress[0] == SIZE and progress[1] > 0:
            break
    whole, *tiles = renderer.patches()
    assert whole.box == (0, 0, *whole.size)
    assert tiles
    assert all(tile.size == SIZE for tile in tiles)


def test_a_changed_model_is_drawn_anew_but_not_from_coarse(renderer, camera):
    renderer.look(Shot(camera, *SIZE))
    drawn_to_the_end(renderer)
    renderer.model_changed(training=False)
    assert not renderer.at_rest
    assert renderer.complete
    assert {patch.size for patch in drawn_to_the_end(renderer)} == {SIZE}


def test_in_training_a_pass_takes_no_longer_than_the_refresh(renderer, camera):
    renderer.look(Shot(camera, *SIZE))
    renderer.model_changed(training=True)
    drawn_to_the_end(renderer)
    # As if each ray took a millisecond: a second is worth a thousand.
    renderer._seconds_per_ray = {"coarse": 1e-3, "full": 1e-3}
    renderer.model_changed(training=True)
    width, height = renderer._next_plan().size
    assert width * height < 2000
    assert renderer._next_plan().kind != "fine"


def test_another_level_or_size_is_another_shot(renderer, camera):
    assert renderer.look(Shot(camera, *SIZE))
    assert not renderer.look(Shot(camera, *SIZE))
    assert renderer.look(Shot(camera, *SIZE, level=1.0))
    assert renderer.look(Shot(camera, *SIZE, level=1.0, normals=True))
    assert renderer.look(Shot(camera, 100, 120, level=1.0, normals=True))


def test_a_fixed_level_is_asked_everywhere(renderer, camera):
    renderer.look(Shot(camera, *SIZE, level=1.5))
    drawn_to_the_end(renderer)
    layers = renderer.finished.layers
    assert layers.level[layers.acc > 0.5].sub(1.5).abs().max() < 1e-3


def test_no_random_number_is_drawn(renderer, camera):
    before = torch.get_rng_state()
    renderer.look(Shot(camera, *SIZE, normals=True))
    drawn_to_the_end(renderer)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [(1, 1), (48, 48), (100, 37), (130, 200)])
def test_tiles_cover_each_pixel_once(size):
    count = torch.zeros(size[1], size[0])
    for left, top, right, bottom in tiles_from_the_middle(*size):
        count[top:bottom, left:right] += 1
    assert (count == 1).all()
