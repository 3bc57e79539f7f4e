"""Colour maps, image files and sheets."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from taichi_pynerf.rendering.colormaps import RAMPS, color_map, depth_colors, level_colors
from taichi_pynerf.rendering.pictures import read_png, sheet, write_depth, write_png


def lightness(colors):
    """CIE L* of sRGB colours [..., 3] of 8 bits."""
    linear = colors / 255.0
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


@pytest.mark.parametrize("ramp", sorted(RAMPS))
def test_lightness_rises_evenly_along_a_ramp(ramp):
    steps = np.diff(lightness(color_map(torch.linspace(0, 1, 64)[None], 0, 1, ramp)[0]))
    assert (steps > 0).all()
    thirds = [part.sum() for part in np.array_split(steps, 3)]
    assert min(thirds) > 0.6 * max(thirds)


def test_a_ramp_ends_at_low_and_high():
    values = torch.tensor([[-5.0, 2.0, 4.0, 9.0]])
    colors = color_map(values, 2.0, 4.0)[0]
    assert colors.dtype == np.uint8
    assert (colors[0] == colors[1]).all()
    assert (colors[2] == colors[3]).all()
    assert (colors[1] == RAMPS["sea"][0]).all()
    assert (colors[2] == RAMPS["sea"][-1]).all()
    assert color_map(values, 3.0, 3.0).shape == (1, 4, 3)  # a range of one value
    with pytest.raises(ValueError, match="sunset"):
        color_map(values, 0, 1, "sunset")


def test_near_is_light_and_nothing_is_paper():
    depth = torch.tensor([[1.0, 2.0, 4.0, 0.0]])
    acc = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    colors = depth_colors(depth, acc)[0]
    assert (np.diff(lightness(colors[:3])) < 0).all()
    assert (colors[3] == 255).all()
    fixed = depth_colors(depth, acc, 1.0, 100.0)[0]
    assert (fixed[0] == colors[0]).all()
    assert (lightness(fixed) >= lightness(colors)).all()
    assert (depth_colors(depth, torch.zeros(1, 4)) == 255).all()
    levels = level_colors(torch.tensor([[0.0, 3.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]]), 4)[0]
    assert lightness(levels[1]) > lightness(levels[0])
    assert (levels[2] == 255).all()


def test_depth_comes_back_from_its_16_bits(tmp_path):
    depth = torch.rand(6, 5) * 3 + 2
    acc = torch.ones(6, 5)
    acc[2] = 0.2
    write_depth(tmp_path / "depth.png", depth, acc)
    facts = json.loads((tmp_path / "depth.json").read_text())
    with Image.open(tmp_path / "depth.png") as image:
        values = np.asarray(image).astype(np.float64)
    assert values.max() == 2**16 - 1
    assert (values[2] == 0).all()
    kept = acc > 0.5
    error = np.abs(values * facts["depth_unit"] - depth.numpy())[kept.numpy()]
    assert error.max() <= facts["depth_unit"]
    write_depth(tmp_path / "none.png", depth, torch.zeros(6, 5))
    with Image.open(tmp_path / "none.png") as image:
        assert (np.asarray(image) == 0).all()


def test_a_png_that_cannot_be_written_leaves_none(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(OSError, match="nowhere") as caught:
        write_png(tmp_path / "nowhere" / "image.png", image)
    assert caught.value.filename.endswith("image.png")
    write_png(tmp_path / "image.png", image + 7)
    assert (read_png(tmp_path / "image.png") == 7).all()


def test_a_sheet_shows_each_picture_in_its_place():
    red, blue = np.zeros((10, 20, 3), np.uint8), np.zeros((5, 10, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    paper = np.asarray(sheet([[("red", red), ("", None)], [("small", blue), ("again", red)]]))
    is_red, is_blue = ((paper == color).all(-1) for color in ((255, 0, 0), (0, 0, 255)))
    assert is_red.sum() == 2 * 80 * 160  # enlarged by whole pixels, to give headings room
    assert is_blue.sum() == 80 * 160  # and to fill its place
    rows, columns = np.nonzero(is_blue)
    assert rows.min() > np.nonzero(is_red)[0].min()
    assert columns.max() < paper.shape[1] // 2
