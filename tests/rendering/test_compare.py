"""Comparison strips."""

import numpy as np
import torch

from taichi_pynerf.rendering.compare import comparison_strip, crop_where_runs_differ


def test_the_crop_is_where_the_runs_differ_most():
    errors = [torch.full((40, 60), 0.1) for _ in range(3)]
    errors[0][5:10, 5:10] = errors[1][5:10, 5:10] = errors[2][5:10, 5:10] = 0.9  # bad in all
    errors[1][20:28, 40:48] = 0.5  # bad in one
    top, left, side = crop_where_runs_differ(errors)
    assert (top, left, side) == (20, 40, 8)
    top, left, side = crop_where_runs_differ(errors[:1])
    assert top <= 5 < 10 <= top + side
    assert left <= 5 < 10 <= left + side
    assert crop_where_runs_differ([torch.zeros(3, 2)]) == (0, 0, 2)


def test_a_strip_shows_truth_runs_crops_and_errors():
    truth = torch.full((40, 40, 3), 0.5)
    worse = truth.clone()
    worse[24:32, 8:16] = torch.tensor([0.0, 1.0, 0.0])
    strip = np.asarray(comparison_strip(truth, {"good": truth, "worse": worse}))
    third = strip.shape[1] // 3
    green = (strip == (0, 255, 0)).all(-1)
    assert green[:, : 2 * third].sum() == 0
    places = np.nonzero(green[:, 2 * third :])
    assert green.sum() > 64 + 600  # in the image, and enlarged in the crop
    assert places[0].max() - places[0].min() > 40
    # The frame stands around it in all three images.
    frame = (strip == (228, 61, 48)).all(-1)
    assert [bool(part.any()) for part in np.array_split(frame, 3, axis=1)] == [True] * 3
    # The error map of the good run is dark all over, the other's is light in one place.
    dark = (strip == (8, 6, 20)).all(-1)
    assert dark[:, third : 2 * third].sum() >= 160 * 160
    assert 0 < dark[:, 2 * third :].sum() < 160 * 160
