"""Metrics that ignore a photograph's own exposure and white balance.

The exposure of a held-out photograph cannot be known without seeing it. As is usual (NeRF in the
Wild, Martin-Brualla et al. 2021), colours are fitted on the left half of the photograph, and the
right half is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from taichi_pynerf.evaluation.metrics import compute_psnr, compute_ssim

RIDGE = 1e-3  # weight of the pull to the identity, as a share of the pixels


@dataclass(frozen=True)
class FittedMetric:
    """A metric of the right half of an image, after an affine colour map fitted on the left.

    Attributes:
        metric: a function of a render, a photograph and, by name, a mask.
    """

    metric: Callable[..., float]

    def __call__(
        self, rgb: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None
    ) -> float:
        """The metric of a render and a photograph, [H, W, 3] each, where mask [H, W] is true.

        NaN if no pixel of the right half is.
        """
        half = rgb.shape[1] // 2
        left, right = slice(None, half), slice(half, None)
        if mask is not None and not mask[:, right].any():
            return math.nan
        weights = None if mask is None else mask[:, left].reshape(-1)
        colors = fit_colors(rgb[:, left].reshape(-1, 3), target[:, left].reshape(-1, 3), weights)
        fitted = apply_colors(colors, rgb[:, right])
        return self.metric(fitted, target[:, right], mask=None if mask is None else mask[:, right])


def fit_colors(
    rgb: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """The affine map [4, 3] that brings colours [N, 3] nearest to those of a photograph.

    Least squares with a pull to the identity, which decides where the colours leave the map open.
    """
    if mask is not None:
        rgb, target = rgb[mask], target[mask]
    x = torch.cat([rgb, torch.ones_like(rgb[:, :1])], 1).double()
    identity = torch.eye(4, 3, dtype=torch.float64)
    pull = RIDGE * max(len(x), 1) * torch.eye(4, dtype=torch.float64)
    difference = torch.linalg.solve(x.T @ x + pull, x.T @ (target - rgb).double())
    return (identity + difference).to(rgb.dtype)


def apply_colors(colors: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
    """Colours [..., 3] through an affine map [4, 3], within [0, 1]."""
    return (rgb @ colors[:3] + colors[3]).clamp(0, 1)


FITTED_METRICS = {
    "psnr_fitted": FittedMetric(compute_psnr),
    "ssim_fitted": FittedMetric(compute_ssim),
}
