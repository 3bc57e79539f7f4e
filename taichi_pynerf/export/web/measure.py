"""What a page's rounding costs: PSNR of a few views before and after."""

from __future__ import annotations

import math

from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.data.scene_files import finest_views
from taichi_pynerf.evaluation.evaluation import METRICS, evaluate
from taichi_pynerf.model.images import RenderOptions
from taichi_pynerf.model.model import PyNeRF

NUM_VIEWS = 4
MOST_PIXELS = 2**16  # of a view; of a larger one every k-th pixel of every k-th row is taken


def psnr_of_views(
    model: PyNeRF, dataset: Dataset, indices: list[int], description: str | None = None
) -> float:
    """Mean PSNR of some views, dB; of large ones estimated. Shows a bar under a description."""
    cameras = dataset.cameras
    largest = max(int(cameras.width[i] * cameras.height[i]) for i in indices)
    options = RenderOptions(stride=math.ceil(math.sqrt(largest / MOST_PIXELS)))
    metrics = {"psnr": METRICS["psnr"]}
    if description is not None:
        print(description)
    found = evaluate(model, dataset, indices, metrics, options, progress=description is not None)
    return found["psnr"]


def spread_views(dataset: Dataset, count: int = NUM_VIEWS) -> list[int]:
    """A few views of the finest scale, evenly spread."""
    finest = finest_views(dataset.scales)
    if len(finest) <= count:
        return finest
    return [finest[round(i * (len(finest) - 1) / (count - 1))] for i in range(count)]
