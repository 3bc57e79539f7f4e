"""Comparison of runs: crops where they differ most, and error maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

from taichi_pynerf.evaluation.metrics import compute_psnr
from taichi_pynerf.rendering.colormaps import color_map
from taichi_pynerf.rendering.pictures import sheet, to_bytes

GREATEST_ERROR = 0.25  # mean absolute error of a pixel at the light end of the error maps
_CROP = 5  # a crop's side is this fraction of the image's smaller side
_FRAME = (228, 61, 48)


def comparison_strip(
    truth: torch.Tensor, renders: dict[str, torch.Tensor], heading: str = "ground truth"
) -> Image.Image:
    """One view in all runs: images, enlarged crops, error maps.

    Args:
        truth: [H, W, 3] photograph in [0, 1].
        renders: {run: [H, W, 3]}.
        heading: text above the photograph.
    """
    errors = {name: (image - truth).abs().mean(-1) for name, image in renders.items()}
    top, left, side = crop_where_runs_differ(list(errors.values()))
    window = (slice(top, top + side), slice(left, left + side))
    images = {heading: truth, **renders}
    headings = [heading] + [f"{name}, {_psnr(image, truth)}" for name, image in renders.items()]
    return sheet(
        [
            [
                (text, _framed(to_bytes(image), top, left, side))
                for text, image in zip(headings, images.values(), strict=True)
            ],
            [("crop", to_bytes(image[window])) for image in images.values()],
            [
                ("", None),
                *(
                    (f"error, light is {GREATEST_ERROR:g}", color_map(e, 0, GREATEST_ERROR, "fire"))
                    for e in errors.values()
                ),
            ],
        ]
    )


def crop_where_runs_differ(errors: Sequence[torch.Tensor]) -> tuple[int, int, int]:
    """(top, left, side) of the square in which the runs' errors differ most.

    Args:
        errors: [H, W] error maps; for a single run, the square with its greatest error is taken.
    """
    stack = torch.stack(list(errors)).float()
    height, width = stack.shape[1:]
    side = max(min(min(height, width) // _CROP, height, width), min(height, width, 8))
    means = avg_pool2d(stack.square().unsqueeze(1), side, stride=1).squeeze(1)
    spread = means.amax(0) - means.amin(0) if len(stack) > 1 else means[0]
    best = int(spread.argmax())
    return best // spread.shape[1], best % spread.shape[1], side


def _framed(image: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """The image with a frame around the crop."""
    image = image.copy()
    last_row, last_column = top + side - 1, left + side - 1
    image[[top, last_row], left : last_column + 1] = _FRAME
    image[top : last_row + 1, [left, last_column]] = _FRAME
    return image


def _psnr(image: torch.Tensor, truth: torch.Tensor) -> str:
    return f"{compute_psnr(image, truth):.2f} dB"
