"""Rays to whole images: chunks, levels, supersampling, paths."""

import pytest
import torch
from scene_makers import make_cameras
from tiny import rays_through_box, roughen, tiny_model

from taichi_pynerf.model import images as rendering
from taichi_pynerf.model.images import RenderOptions, render_image, render_path, render_rays
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.renderer import RAYS_AT_ONCE


def rough_model(**overrides) -> PyNeRF:
    model = tiny_model(**overrides)
    roughen(model.field)
    model.occupancy.occupied[:, :, :, 11:] = 0
    return model.eval()


def picture(model, options=None, size=24, background=rendering.WHITE):
    cameras = make_cameras(2, size, size, focal=1.5 * size)
    return render_image(model, cameras, 1, 0.05, 8.0, background, options)


@pytest.mark.parametrize("sampler", ["occupancy", "hierarchical"])
def test_chunks_change_no_pixel_and_the_same_call_gives_the_same_bits(sampler):
    model = rough_model(sampler=sampler)
    whole = picture(model)
    again = picture(model)
    assert 0 < (whole["acc"] > 0.5).sum() < whole["acc"].numel()
    for name, values in whole.items():
        assert torch.equal(again[name], values), name
    for chunk_size in (1000, 77, 5):
        parts = picture(model, RenderOptions(chunk_size=chunk_size))
        assert (parts["rgb"] - whole["rgb"]).abs().max() <= 1e-5
        assert (parts["acc"] - whole["acc"]).abs().max() <= 1e-5
        torch.testing.assert_close(parts["depth"], whole["depth"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["occupancy", "hierarchical"])
def test_no_rays_give_no_pixels(sampler):
    out = render_rays(rough_model(sampler=sampler), rays_through_box(0))
    assert (out.rgb.shape, out.depth.shape, out.acc.shape, out.level.shape) == (
        (0, 3), (0,), (0,), (0,),
    )  # fmt: skip


def test_the_chunk_fits_the_free_memory(monkeypatch):
    model, sizes = rough_model(), []
    for free in (2**40, 2**26, 0):
        monkeypatch.setattr(rendering, "free_memory", lambda device, free=free: free)
        sizes.append(rendering.fitting_chunk_size(model))
    assert sizes[0] == RAYS_AT_ONCE
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] < sizes[0]
    assert sizes[2] > 0


def test_the_rays_done_are_told():
    told = []
    model, cameras = rough_model(), make_cameras(1, 10, 6)
    options = RenderOptions(chunk_size=25, supersample=2)
    render_image(model, cameras, 0, 0.05, 8.0, options=options, on_rays=told.append)
    assert sum(told) == 10 * 6 * 4
    assert max(told) <= 25


def test_a_supersampled_image_is_the_mean_of_a_larger_one():
    model = rough_model()
    large, small = picture(model, size=24), picture(model, RenderOptions(supersample=3), size=8)
    torch.testing.assert_close(
        small["rgb"], large["rgb"].view(8, 3, 8, 3, 3).mean((1, 3)), rtol=0, atol=1e-4
    )
    acc = large["acc"].view(8, 3, 8, 3)
    for name in ("depth", "level"):
        mean = (large[name].view(8, 3, 8, 3) * acc).mean((1, 3)) / acc.mean((1, 3)).clamp_min(1e-6)
        torch.testing.assert_close(small[name], mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("supersample", [1, 2])
def test_a_stride_leaves_pixels_out_and_changes_none(supersample):
    model, told = rough_model(), []
    whole = picture(model, RenderOptions(supersample=supersample), size=8)
    options = RenderOptions(supersample=supersample, stride=3, chunk_size=20)
    cameras = make_cameras(2, 8, 8, focal=12.0)
    some = render_image(model, cameras, 1, 0.05, 8.0, options=options, on_rays=told.append)
    for name, values in some.items():
        torch.testing.assert_close(values, whole[name][::3, ::3], rtol=1e-4, atol=1e-4)
    assert sum(told) == rendering.rays_bar(cameras, [1], options, False).total
    assert sum(told) == 9 * supersample**2


def test_the_background_shows_where_nothing_is():
    red = torch.tensor([1.0, 0.0, 0.0])
    image = picture(rough_model(), background=red)
    clear = image["acc"] == 0
    assert clear.any()
    assert (image["rgb"][clear] == red).all()


def test_a_path_is_its_images_in_order(capsys):
    model, cameras = rough_model(), make_cameras(3, 8, 6)
    images = list(render_path(model, cameras, 0.05, 8.0, progress=True))
    assert len(images) == 3
    for view, image in enumerate(images):
        assert torch.equal(image["rgb"], render_image(model, cameras, view, 0.05, 8.0)["rgb"])
    assert not torch.equal(images[0]["rgb"], images[1]["rgb"])
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [{"level": -1}, {"supersample": 0}, {"stride": 0}, {"chunk_size": 0}]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RenderOptions(**wrong)
