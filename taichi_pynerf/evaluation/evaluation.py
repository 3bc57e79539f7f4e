"""Comparison of a model's images with the photographs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

import torch

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.errors import Notice
from taichi_pynerf.evaluation.color_fit import FITTED_METRICS, FittedMetric
from taichi_pynerf.evaluation.exif_exposure import ExposedMetric, ExposureResponse, exif_metrics
from taichi_pynerf.evaluation.metrics import compute_psnr, compute_ssim
from taichi_pynerf.model.images import RenderOptions, rays_bar, render_image
from taichi_pynerf.model.model import PyNeRF

Metric = Callable[[torch.Tensor, torch.Tensor], float]
METRICS: dict[str, Metric] = {"psnr": compute_psnr, "ssim": compute_ssim}


MEANINGS = {
    "psnr": "the picture as it is rendered, with the mean exposure of the training photographs",
    "psnr_exif": "the picture with the exposure that the photograph's EXIF data predict",
    "psnr_fitted": "the right half, after colours were fitted to the photograph on the left half",
}
"""What is compared with a held-out photograph whose exposure differs. SSIM is named likewise."""


def metrics_for(
    config: PyNeRFConfig, response: ExposureResponse | None = None
) -> dict[str, Metric]:
    """PSNR and SSIM; if exposures were corrected, also those of other colours (`MEANINGS`).

    The model does not know the exposure of a held-out photograph. `exif_metrics` predict it if
    colours follow EXIF. `FITTED_METRICS` leave it out.
    """
    if config.color_correction != "affine":
        return dict(METRICS)
    return {**METRICS, **exif_metrics(response), **FITTED_METRICS}


def render_view(
    model: PyNeRF,
    dataset: Dataset,
    index: int,
    options: RenderOptions | None = None,
    on_rays: Callable[[int], object] | None = None,
) -> dict[str, torch.Tensor]:
    """Render one image of a dataset over the dataset's background.

    Args:
        index: index of the image.
        options, on_rays: as in `render_image`.

    Returns:
        The result of `render_image`.
    """
    return render_image(
        model, dataset.cameras, index, dataset.near, dataset.far, dataset.background, options,
        on_rays,
    )  # fmt: skip


def evaluate(
    model: PyNeRF,
    dataset: Dataset,
    indices: Sequence[int] | None = None,
    metrics: Mapping[str, Metric] = METRICS,
    options: RenderOptions | None = None,
    progress: bool = False,
    on_image: Callable[[int, dict[str, torch.Tensor]], object] | None = None,
) -> dict:
    """Render images of a dataset and compare them with the photographs.

    Masked pixels do not count. Images without a pixel that counts are left out. If no image is
    left, the means are NaN, and a warning says why.

    Args:
        indices: indices of the images; None: all.
        metrics: {name: function of a render and a photograph, [H, W, 3] each}.
        options: options of rendering. With a stride, PSNR is an estimate, and SSIM is meaningless.
        progress: show a progress bar.
        on_image: called with each index and the result of `render_view`.

    Returns:
        The result of `summarise` for these images.
    """
    stride = (options or RenderOptions()).stride
    masks = {}
    for index in range(len(dataset)) if indices is None else indices:
        mask = dataset.mask(index)
        masks[index] = None if mask is None else mask[::stride, ::stride]
    indices = [i for i, mask in masks.items() if mask is None or mask.any()]
    if masks and not indices:
        warnings.warn(
            Notice(f"the masks of the {dataset.split} images leave no pixel to compare"),
            stacklevel=2,
        )
    results = []
    with rays_bar(dataset.cameras, indices, options, progress, f"render {dataset.split}") as bar:
        for index in indices:
            out = render_view(model, dataset, index, options, bar.update)
            target, mask = dataset.image(index)[::stride, ::stride], masks[index]
            results.append(
                {
                    "name": dataset.names[index],
                    "scale": int(dataset.scales[index]),
                    **measure(out["rgb"], target, metrics, mask, float(dataset.exposures[index])),
                }
            )
            if on_image is not None:
                on_image(index, out)
    return summarise(results, list(metrics))


def measure(
    rgb: torch.Tensor,
    target: torch.Tensor,
    metrics: Mapping[str, Metric] = METRICS,
    mask: torch.Tensor | None = None,
    exposure: float = math.nan,
) -> dict[str, float]:
    """{name: value} of each metric for a render and a photograph, [H, W, 3] each.

    Args:
        mask: [H, W] bool, true where a pixel counts. PSNR and SSIM, fitted ones too, leave out the
            others; for other metrics these are replaced by the photograph.
        exposure: exposure of the photograph by EXIF, in stops, for metrics that use it.
    """
    metrics = {
        name: metric.at(exposure) if isinstance(metric, ExposedMetric) else metric
        for name, metric in metrics.items()
    }
    if mask is None:
        return {name: metric(rgb, target) for name, metric in metrics.items()}
    filled = torch.where(mask.unsqueeze(-1), rgb, target)
    return {
        name: metric(rgb, target, mask=mask)
        if metric in (compute_psnr, compute_ssim)
        or isinstance(metric, (FittedMetric, ExposedMetric))
        else metric(filled, target)
        for name, metric in metrics.items()
    }


def summarise(results: Sequence[dict], names: Sequence[str]) -> dict:
    """Means of the images' results.

    Args:
        results: {"name": …, "scale": …, metric: value, …} of each image.
        names: names of the metrics.

    Returns:
        {metric: mean, "scales": {"1": {metric: mean}, …}, "images": results}. Per scale there is
        the mean over its images, in dB for PSNR. The means at the top are over the scales. Values
        that are NaN do not count, and means of none are NaN.
    """
    by_scale: dict[int, list[dict]] = {}
    for result in results:
        by_scale.setdefault(result["scale"], []).append(result)
    scales = {
        str(scale): {name: _mean(result[name] for result in of_scale) for name in names}
        for scale, of_scale in sorted(by_scale.items())
    }
    means = {name: _mean(values[name] for values in scales.values()) for name in names}
    return {**means, "scales": scales, "images": list(results)}


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan
