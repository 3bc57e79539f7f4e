"""A picture of what a model has learned: truth, render, depth and pyramid level."""

from collections.abc import Sequence
from pathlib import Path

from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.evaluation.evaluation import render_view
from taichi_pynerf.evaluation.metrics import compute_psnr
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.rendering.colormaps import depth_colors, level_colors
from taichi_pynerf.rendering.pictures import sheet, to_bytes, write_png

_COLUMNS = ("ground truth", "render", "depth (near is light)", "pyramid level (fine is light)")


def median_view(images: Sequence[dict]) -> int:
    """The index of the image with the median PSNR, among those at the first image's scale.

    Args:
        images: results of `evaluate`, with "scale" and "psnr"; None stands for an infinite PSNR.

    Returns:
        The index in `images`.
    """
    same = [i for i, image in enumerate(images) if image["scale"] == images[0]["scale"]]
    same.sort(key=lambda i: float("inf") if images[i]["psnr"] is None else images[i]["psnr"])
    return same[(len(same) - 1) // 2]


def write_preview(model: PyNeRF, dataset: Dataset, path: str | Path, view: int = 0) -> None:
    """Write a PNG with a row of truth, render, depth and level for each scale of a view.

    Args:
        view: index of the view in the dataset.
    """
    name = dataset.names[view]
    rows = []
    indices = [i for i in range(len(dataset)) if dataset.names[i] == name]
    for index in indices:
        out, truth = render_view(model, dataset, index), dataset.image(index)
        headings = list(_COLUMNS)
        headings[0] += f", 1/{int(dataset.scales[index])}" if len(indices) > 1 else ""
        mask = dataset.mask(index)
        if mask is None or mask.any():
            headings[1] += f", {compute_psnr(out['rgb'], truth, mask=mask):.1f} dB"
        pictures = (
            to_bytes(truth),
            to_bytes(out["rgb"]),
            depth_colors(out["depth"], out["acc"]),
            level_colors(out["level"], out["acc"], len(model.field.resolutions)),
        )
        rows.append(list(zip(headings, pictures, strict=True)))
    write_png(path, sheet(rows))
