"""Metrics that do not count a photograph's own exposure and white balance."""

import math

import pytest
import torch

from taichi_pynerf.evaluation.color_fit import FITTED_METRICS, apply_colors, fit_colors
from taichi_pynerf.evaluation.evaluation import METRICS, measure, summarise


def picture(height=24, width=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.2 + 0.6 * torch.rand(height, width, 3, generator=generator)


MAP = torch.tensor([[0.9, 0.02, 0.0], [0.05, 1.05, 0.0], [0.0, -0.03, 0.8], [0.01, -0.02, 0.03]])


def test_the_map_that_was_applied_is_found():
    rgb = picture().view(-1, 3)
    found = fit_colors(rgb, rgb @ MAP[:3] + MAP[3])
    torch.testing.assert_close(found, MAP, atol=0.02, rtol=0)
    torch.testing.assert_close(apply_colors(found, rgb), rgb @ MAP[:3] + MAP[3], atol=5e-3, rtol=0)


def test_colours_that_leave_the_map_open_keep_it_at_the_identity():
    grey = torch.full((50, 3), 0.5)
    found = fit_colors(grey, grey)
    torch.testing.assert_close(found, torch.eye(4, 3), atol=1e-6, rtol=0)
    none = fit_colors(grey, 0.7 * grey, torch.zeros(50, dtype=torch.bool))
    assert torch.equal(none, torch.eye(4, 3))


def test_another_exposure_costs_a_fitted_metric_next_to_nothing():
    truth = picture()
    rgb = (truth - MAP[3]) @ torch.linalg.inv(MAP[:3])
    found = measure(rgb, truth, {**METRICS, **FITTED_METRICS})
    assert found["psnr"] < 30 < 45 < found["psnr_fitted"]
    assert found["ssim_fitted"] > max(found["ssim"], 0.999)


def test_the_left_half_is_fitted_and_the_right_half_is_measured():
    truth = picture()
    rgb = truth.clone()
    rgb[:, :20] = 0.5 * truth[:, :20]  # the left half says: twice as bright
    assert measure(rgb, truth, FITTED_METRICS)["psnr_fitted"] < 15
    rgb = truth.clone()
    rgb[:5, 30:] += 0.2  # a fault on the right, which the fit must not see
    expected = -10 * math.log10(0.04 * 5 * 10 / (24 * 20))
    assert measure(rgb, truth, FITTED_METRICS)["psnr_fitted"] == pytest.approx(expected, abs=0.1)


def test_a_photograph_without_a_right_half_does_not_count_in_the_mean():
    truth = picture()
    mask = torch.ones(24, 40, dtype=torch.bool)
    whole = {"scale": 1, **measure(0.9 * truth, truth, FITTED_METRICS, mask)}
    mask[:, 20:] = False
    half = {"scale": 1, **measure(truth, truth, FITTED_METRICS, mask)}
    assert all(math.isnan(half[name]) for name in FITTED_METRICS)
    means = summarise([whole, half], list(FITTED_METRICS))
    assert all(means[name] == whole[name] for name in FITTED_METRICS)
    assert all(math.isnan(summarise([half], [name])[name]) for name in FITTED_METRICS)


def test_masked_pixels_are_neither_fitted_nor_measured():
    truth = picture()
    rgb, mask = truth.clone(), torch.ones(24, 40, dtype=torch.bool)
    mask[10:, 5:15] = mask[:4, 25:] = False
    rgb[~mask] = 0.9
    found = measure(rgb, truth, FITTED_METRICS, mask)
    assert found["psnr_fitted"] > 60
    assert found["ssim_fitted"] == pytest.approx(1)
