"""Validation on a few held-out images while a model trains."""

from __future__ import annotations

import math
from typing import Any

import torch

from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.evaluation.evaluation import METRICS, evaluate
from taichi_pynerf.model.images import RenderOptions
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.training.log import TrainingLog

VAL_PIXELS = 2**16  # pixels up to which an image is validated whole; a larger one is sampled


def validate(
    model: PyNeRF, data: Dataset, step: int, log: TrainingLog, num_images: int = 2
) -> dict[str, Any]:
    """PSNR on a few images of each scale, evenly spread. For large images it is an estimate.

    Args:
        model: the model; it is put into evaluation mode.
        step: step of the training, for the log.
        log: gets the pictures, if it wants any.
        num_images: images of each scale, about.

    Returns:
        {"psnr": mean over the scales, "scales": as `evaluation.summarise` gives them}.
    """
    model.eval()
    indices: list[int] = []
    for scale in data.scales.unique().tolist():
        of_scale = (data.scales == scale).nonzero().squeeze(-1).tolist()
        of_scale = [i for i in of_scale if (mask := data.mask(i)) is None or mask.any()]
        indices += of_scale[:: max(1, len(of_scale) // num_images)][:num_images]

    largest = max(int(data.cameras.width[i] * data.cameras.height[i]) for i in indices)
    stride = math.ceil(math.sqrt(largest / VAL_PIXELS))

    def show(index: int, out: dict[str, torch.Tensor]) -> None:
        if log.wants_images:
            pair = torch.cat([data.image(index)[::stride, ::stride], out["rgb"]], 1)
            log.image(
                step, f"val/{data.names[index]}, 1/{int(data.scales[index])}: truth, render", pair
            )

    metrics = {"psnr": METRICS["psnr"]}
    found = evaluate(model, data, indices, metrics, RenderOptions(stride=stride), on_image=show)
    return {name: found[name] for name in ("psnr", "scales")}
