import math

import pytest
import torch
from scene_makers import write_blender_scene
from tiny import tiny_model

from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.rendering import preview
from taichi_pynerf.rendering.preview import median_view, write_preview


@pytest.mark.parametrize(
    ("psnrs", "view"),
    [([20.0], 0), ([30.0, 10.0], 1), ([25.0, 35.0, 15.0], 0), ([None, 12.0, 40.0], 2)],
)
def test_the_view_that_stands_for_all_is_as_good_as_half_of_them(psnrs, view):
    images = [{"scale": 1, "psnr": psnr} for psnr in psnrs]
    coarser = [{"scale": 8, "psnr": 1.0}] * 9  # another scale has no say
    assert median_view(images + coarser) == view


@pytest.mark.parametrize("counted", [None, "left", "none"])
def test_the_figure_of_a_preview_is_of_the_pixels_that_count(tmp_path, monkeypatch, counted):
    dataset = PyNeRFDataset(write_blender_scene(tmp_path / "scene", width=16, height=8), "train")
    truth, mask = dataset.image(0), torch.zeros(8, 16, dtype=torch.bool)
    mask[:, :8] = counted == "left"
    rgb = truth.clone()
    rgb[:, 8:] = 1 - rgb[:, 8:]  # wrong where no pixel counts
    flat = torch.ones(8, 16)
    render = {"rgb": rgb, "depth": flat, "acc": flat, "level": flat}
    monkeypatch.setattr(preview, "render_view", lambda *_: render)
    monkeypatch.setattr(dataset, "mask", lambda _: None if counted is None else mask)
    seen = []
    monkeypatch.setattr(preview, "sheet", seen.extend)
    monkeypatch.setattr(preview, "write_png", lambda *_: None)
    write_preview(tiny_model(), dataset, tmp_path / "preview.png")
    heading = seen[0][1][0]
    whole = -10 * math.log10((rgb - truth).square().mean())
    wanted = {None: f"render, {whole:.1f} dB", "left": "render, inf dB", "none": "render"}
    assert heading == wanted[counted]
