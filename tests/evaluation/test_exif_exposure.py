"""The exposure of a held-out photograph, from EXIF and from what training photographs taught."""

import math

import pytest
import torch

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.evaluation.evaluation import measure, metrics_for
from taichi_pynerf.evaluation.exif_exposure import (
    ExposureResponse,
    exif_metrics,
    fit_response,
    response_in,
)

STOPS = torch.tensor([-12.0, -12.3, -12.7, -13.0, -13.3, -12.7, -12.0, -11.7])


def gains(slope=0.45, noise=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    noise = noise * torch.randn(len(STOPS), generator=generator)
    return torch.exp2(slope * (STOPS - STOPS.mean()) + noise)


def test_gains_that_follow_exposures_are_predicted():
    response, why = fit_response(gains(), STOPS)
    assert response.slope == pytest.approx(0.45, rel=1e-3)
    assert response.correlation == pytest.approx(1)
    assert "0.45 stops of colour" in why
    for exposure in (-12.5, -13.9, -11.2):
        expected = 2 ** (0.45 * (exposure - float(STOPS.mean())))
        assert response.gain(exposure) == pytest.approx(expected, rel=1e-3)


def test_a_photograph_with_the_sun_in_the_lens_hardly_matters():
    odd = gains(noise=0.01)
    odd[1] = 2.5
    response, _ = fit_response(odd, STOPS)
    assert response.slope == pytest.approx(0.45, abs=0.1)


def test_an_unknown_exposure_is_the_mean_one_and_far_ones_are_not_followed():
    response, _ = fit_response(gains(), STOPS)
    assert response.gain(math.nan) == 1
    assert response.gain(-30.0) == pytest.approx(response.gain(-14.3), rel=1e-6)
    assert response.gain(5.0) == pytest.approx(response.gain(-10.7), rel=1e-6)


@pytest.mark.parametrize(
    ("gains", "stops", "reason"),
    [
        (gains(), torch.full((8,), torch.nan), "0 training photographs have it"),
        (gains(), STOPS.where(torch.arange(8) < 4, torch.nan), "4 training photographs have it"),
        (gains(), torch.full((8,), -12.0), "differ in it by 0.00 stops"),
        (1 / gains(), STOPS, "colours do not follow it"),
        (torch.ones(8), STOPS, "colours do not follow it"),
    ],
)
def test_without_a_relation_there_is_no_response_and_the_reason_is_told(gains, stops, reason):
    response, why = fit_response(gains, stops)
    assert response is None
    assert reason in why


def test_gains_by_chance_seldom_give_a_response():
    found = 0
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        found += fit_response(torch.rand(8, generator=generator) + 0.5, STOPS)[0] is not None
    assert found <= 12


def test_a_response_survives_a_checkpoint_and_nothing_else_becomes_one():
    response, _ = fit_response(gains(), STOPS)
    assert response_in({"exposure_response": response.to_dict()}) == response
    for training in (None, {}, {"exposure_response": None}, {"exposure_response": {"slope": 1.0}},
                     {"exposure_response": {**response.to_dict(), "slope": math.nan}}):  # fmt: skip
        assert response_in(training) is None


def test_metrics_by_exif_are_of_the_exposed_picture():
    response = ExposureResponse(0.5, -12.0, -13.0, -11.0, 8, 0.9)
    truth = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.1
    dark = truth * 2**-0.5  # a photograph at one stop less
    affine, none = (PyNeRFConfig(color_correction=kind) for kind in ("affine", "none"))
    metrics = metrics_for(affine, response)
    assert list(metrics) == ["psnr", "ssim", "psnr_exif", "ssim_exif", "psnr_fitted", "ssim_fitted"]
    assert list(metrics_for(affine)) == ["psnr", "ssim", "psnr_fitted", "ssim_fitted"]
    assert list(metrics_for(none, response)) == ["psnr", "ssim"]
    found = measure(truth, dark, metrics, exposure=-13.0)
    assert found["psnr"] < 18 < 60 < found["psnr_exif"]
    unknown = measure(truth, dark, metrics)
    assert unknown["psnr_exif"] == unknown["psnr"]
    mask = torch.ones(16, 16, dtype=torch.bool)
    mask[:8] = False
    wrong = dark.clone()
    wrong[:8] = 1.0
    assert measure(truth, wrong, exif_metrics(response), mask, -13.0)["psnr_exif"] > 60
