"""Renders compared with photographs, image by image and in the mean."""

import math

import pytest
import torch
from tiny import ball_scene, tiny_model

from taichi_pynerf.data import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.data.scene import Scene
from taichi_pynerf.errors import Notice
from taichi_pynerf.evaluation.evaluation import METRICS, evaluate, render_view, summarise
from taichi_pynerf.model.images import RenderOptions


def multi_scale_dataset():
    return MultiScaleDataset.from_scene(ball_scene(num_views=4), (1, 2, 4), white_background=True)


def test_an_image_is_rendered_over_the_background_of_its_dataset():
    model, data = tiny_model(), PyNeRFDataset.from_scene(ball_scene(2, 8), white_background=True)
    model.occupancy.occupied[:, 4:] = 0
    image = render_view(model, data, 1)
    shapes = {name: tuple(x.shape) for name, x in image.items()}
    assert shapes == {"rgb": (8, 8, 3), "depth": (8, 8), "acc": (8, 8), "level": (8, 8)}
    clear = image["acc"] == 0
    assert 0 < clear.sum() < 64
    assert (image["rgb"][clear] == 1).all()
    assert ((image["depth"][~clear] > 2) & (image["depth"][~clear] < 6)).all()
    other = render_view(model, data, 0)
    assert not torch.equal(other["acc"], image["acc"])
    seen = render_view(model, data, 1, RenderOptions(level=2.0))["level"][~clear]
    torch.testing.assert_close(seen, torch.full_like(seen, 2.0))


def test_figures_are_means_over_images_and_then_over_scales():
    model, data = tiny_model(), multi_scale_dataset()
    shown = {}
    found = evaluate(model, data, on_image=shown.__setitem__)
    assert list(shown) == list(range(12))
    for scale in (1, 2, 4):
        indices = (data.scales == scale).nonzero().squeeze(-1).tolist()
        assert len(indices) == 4
        pairs = [(render_view(model, data, i)["rgb"], data.image(i)) for i in indices]
        for name, compute in METRICS.items():
            values = [compute(*pair) for pair in pairs]
            assert found["scales"][str(scale)][name] == pytest.approx(sum(values) / 4)
            assert [found["images"][i][name] for i in indices] == pytest.approx(values)
            assert {found["images"][i]["scale"] for i in indices} == {scale}
    assert [image["name"] for image in found["images"]] == data.names
    for name in METRICS:
        mean = sum(found["scales"][scale][name] for scale in "124") / 3
        assert found[name] == pytest.approx(mean)


def test_some_images_by_one_metric():
    found = evaluate(tiny_model(), multi_scale_dataset(), [0, 1, 2, 4], {"psnr": METRICS["psnr"]})
    assert set(found) == {"psnr", "scales", "images"}
    assert set(found["scales"]) == {"1", "2"}
    mean = sum(of_scale["psnr"] for of_scale in found["scales"].values()) / 2
    assert found["psnr"] == pytest.approx(mean)


def masked_dataset(*, masked):
    """The ball's pictures, some of them masked as a whole."""
    scene = ball_scene(num_views=3, size=16)
    masks = [torch.full((16, 16), i not in masked).numpy() for i in range(3)]
    images = [image.copy() for image in scene.images]
    return PyNeRFDataset.from_scene(
        Scene.from_images(
            images, scene.cameras, near=scene.near, far=scene.far, aabb=scene.aabb, masks=masks
        )
    )


def test_images_that_are_masked_as_a_whole_are_left_out():
    found = evaluate(tiny_model(), masked_dataset(masked=[0]))
    assert len(found["images"]) == 2
    assert found["psnr"] > 0


def test_without_a_pixel_to_compare_there_are_no_figures_and_a_line_says_so():
    with pytest.warns(Notice, match="leave no pixel to compare"):
        found = evaluate(tiny_model(), masked_dataset(masked=[0, 1]), [0, 1])
    assert math.isnan(found["psnr"])
    assert math.isnan(found["ssim"])
    assert (found["scales"], found["images"]) == ({}, [])
    assert summarise([], [])["images"] == []


def test_a_mask_between_the_pixels_of_a_stride_leaves_none():
    data = masked_dataset(masked=[])
    data.mask = lambda index: torch.zeros(16, 16, dtype=torch.bool).index_fill_(
        0, torch.tensor([1, 3]), True
    )
    with pytest.warns(Notice, match="leave no pixel"):
        found = evaluate(tiny_model(), data, [0], options=RenderOptions(stride=2))
    assert math.isnan(found["psnr"])


def test_scales_count_alike_however_many_images_they_have():
    results = [
        {"name": "a", "scale": 1, "psnr": 20.0},
        {"name": "b", "scale": 1, "psnr": 30.0},
        {"name": "a", "scale": 8, "psnr": math.inf},
    ]
    found = summarise(results, ["psnr"])
    assert found["scales"] == {"1": {"psnr": 25.0}, "8": {"psnr": math.inf}}
    assert found["images"] == results
    assert summarise(results[:2], ["psnr"])["psnr"] == 25.0
