"""Pixels drawn where their neighbours differ: what contrast is, and that no mean changes by it."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny import ball_scene

from taichi_pynerf.data import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.data.drawing.contrast import (
    SCALE,
    draw_by_contrast,
    local_contrast,
)
from taichi_pynerf.data.drawing.sightings import Sightings

WIDTH, HEIGHT = 7, 5


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def contrast_of(image):
    """int64 [H, W], of an image uint8 [H, W, C]."""
    height, width, _ = image.shape
    y, x = (g.flatten() for g in torch.meshgrid(*map(torch.arange, (height, width)), indexing="ij"))
    sizes = torch.full_like(x, width), torch.full_like(x, height)
    return local_contrast(lambda x, y: image[y, x], x, y, *sizes).view(height, width)


def test_contrast_is_the_difference_from_the_pixels_beside_and_below():
    image = torch.randint(0, 256, (HEIGHT, WIDTH, 4), dtype=torch.uint8, generator=seeded())
    found, values = contrast_of(image), image.numpy().astype(float)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            beside = [(y, x + 1), (y + 1, x)]
            beside = [(r, c) for r, c in beside if 0 <= r < HEIGHT and 0 <= c < WIDTH]
            squares = sum(((values[place] - values[y, x]) ** 2).sum() for place in beside)
            assert found[y, x] == round(SCALE * np.sqrt(squares))


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1)])
def test_images_of_one_row_or_column_have_contrast_too(size):
    image = torch.arange(size[0] * size[1], dtype=torch.uint8).view(*size, 1) * 10
    found = contrast_of(image).flatten()
    assert found[0] == (10 * SCALE if image.numel() > 1 else 0)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_no_mean_changes_whatever_the_contrast(share):
    """The expectation over the offset is an integral: here a sum over many offsets."""
    count, number = 40, 160
    contrast = (torch.rand(number, generator=seeded()) ** 6 * 1e5).long()
    values = torch.rand(number, generator=seeded(1))
    offsets = (torch.arange(4000) + 0.5) / 4000
    means = []
    for offset in offsets.tolist():
        chosen, weights = draw_by_contrast(contrast, share, count, offset)
        assert len(chosen) == count
        assert (chosen.diff() >= 0).all()
        means.append((weights * values[chosen]).mean())
    assert float(torch.stack(means).mean()) == pytest.approx(float(values.mean()), rel=1e-3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_each_pixel_is_drawn_as_often_as_it_should_be(share):
    count, number = 400, 100
    contrast = (torch.rand(number, generator=seeded()) * 1e5).long()
    wanted = (1 - share) + share * contrast / contrast.double().mean()
    chosen, weights = draw_by_contrast(contrast, share, count, 0.3)
    drawn = torch.bincount(chosen, minlength=number)
    expected = wanted * count / number
    assert ((drawn - expected).abs() < 1.001).all()
    torch.testing.assert_close(weights, (1 / wanted[chosen]).float(), rtol=1e-3, atol=0)
    assert weights.max() <= 1.001 / (1 - share)


def test_without_contrast_all_pixels_are_alike():
    chosen, weights = draw_by_contrast(torch.zeros(30, dtype=torch.int64), 0.5, 10, 0.5)
    assert (weights == 1).all()
    assert torch.equal(chosen.diff(), torch.full((9,), 3))


# ---- datasets ---------------------------------------------------------------------------------


def test_edges_are_drawn_more_often_and_even_areas_weigh_more():
    data = PyNeRFDataset.from_scene(ball_scene(size=32), white_background=True)
    even = data.sample(4000, seeded())
    drawn = data.sample(4000, seeded(), contrast_share=0.5)
    outside = drawn.acc == 0  # of the ball, most of it even
    assert outside.float().mean() < 0.8 * (even.acc == 0).float().mean()
    assert drawn.weights[outside].median() > 1.5 > 1 > drawn.weights[~outside].mean()
    assert float(drawn.weights.mean()) == pytest.approx(1, abs=0.05)
    means = [(batch.weights[:, None] * batch.rgb).mean(0) for batch in (even, drawn)]
    torch.testing.assert_close(*means, atol=0.03, rtol=0)


def test_one_seed_gives_one_batch_and_the_next_is_another():
    data = PyNeRFDataset.from_scene(ball_scene(size=32))
    generator = seeded(4)
    batches = [
        data.sample(50, source, contrast_share=0.5) for source in (generator, seeded(4), generator)
    ]
    one, same, other = (batch.rays.rays_d for batch in batches)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_all_scales_keep_their_share_of_the_loss():
    data = MultiScaleDataset.from_scene(ball_scene(size=32), (1, 2, 4), sampling="scales")
    batch = data.sample(6000, seeded(), contrast_share=0.5)
    scales = data.scales[batch.view_indices]
    for scale in (1, 2, 4):
        share = batch.weights[scales == scale].sum() / len(scales)
        assert float(share) == pytest.approx(1 / 3, abs=0.03)


def test_masked_pixels_are_never_drawn():
    scene = ball_scene(size=16)
    masks = torch.arange(len(scene.pixels)) % 3 > 0
    data = PyNeRFDataset.from_scene(dataclasses.replace(scene, masks=masks.numpy()))
    view, pixel, _ = data._draw(600, seeded(), 0.5)
    assert masks[data._offsets[view] + pixel].all()


def test_sighted_pixels_weigh_as_much_as_the_mean_pixel():
    scene = ball_scene(size=16)
    points = torch.zeros(3, dtype=torch.int64), torch.tensor([5, 77, 200]), torch.ones(3)
    data = PyNeRFDataset.from_scene(dataclasses.replace(scene, sightings=Sightings(*points)))
    batch = data.sample(100, seeded(), num_sighted=20, contrast_share=0.5)
    assert (batch.weights[:20] == 1).all()
    assert (batch.view_indices[:20] == 0).all()
    assert (batch.sparse_depth[:20] > 0).all()
    assert not batch.sparse_depth[20:].any()


def test_pixels_beside_each_other_are_looked_at_in_one_image_only():
    """The last row of one image and the first of the next lie side by side in memory."""
    scene = ball_scene(size=16)
    scene.pixels[:] = 0
    half = len(scene.pixels) // len(scene)
    scene.pixels[:half] = 255  # one image is white, the others are black
    data = PyNeRFDataset.from_scene(scene)
    weights = data.sample(200, seeded(), contrast_share=0.9).weights
    assert (weights == 1).all()
