"""A small chart of the training, drawn into an image."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from taichi_pynerf.viewer.lines import draw_lines

LOSS_COLOR, PSNR_COLOR = (235, 150, 60), (90, 175, 235)
_BACK = (30, 31, 36)
_CAPACITY = 1024  # points of a curve
_HEADING = 16  # height of the heading, pixels
_SMOOTHING = 0.1  # share of each new value in the running mean


class Curve:
    """A series of any length in at most 1024 points: when full, pairs are averaged.

    Values are first smoothed by a running mean, because single batches are noisy.
    """

    def __init__(self) -> None:
        self._points: list[float] = []
        self._stride = 1
        self._pending: list[float] = []
        self._mean: float | None = None

    def add(self, value: float) -> None:
        if not np.isfinite(value):
            return
        mean = value if self._mean is None else self._mean + _SMOOTHING * (value - self._mean)
        self._mean = mean
        self._pending.append(mean)
        if len(self._pending) == self._stride:
            self._points.append(sum(self._pending) / self._stride)
            self._pending = []
        if len(self._points) == _CAPACITY:
            self._points = [(a + b) / 2 for a, b in zip(*[iter(self._points)] * 2, strict=True)]
            self._stride *= 2

    def values(self) -> np.ndarray:
        """[K] points in order, K <= 1024."""
        return np.array(self._points)


def draw_chart(width: int, height: int, loss: Curve, psnr: Curve) -> np.ndarray:
    """uint8 [height, width, 3]: the loss on a logarithmic scale, and PSNR, each over its range."""
    chart = Image.new("RGB", (width, height), _BACK)
    pen, font = ImageDraw.Draw(chart), ImageFont.load_default(11)
    pen.text((6, 2), "loss (log)", LOSS_COLOR, font)
    psnr_values = psnr.values()
    heading = f"PSNR {psnr_values[-1]:.1f} dB" if len(psnr_values) else "PSNR"
    pen.text((width - 6, 2), heading, PSNR_COLOR, font, anchor="ra")
    image = np.array(chart)
    loss_values = np.log(np.maximum(loss.values(), 1e-12))
    for values, color in ((loss_values, LOSS_COLOR), (psnr_values, PSNR_COLOR)):
        if len(values) > 1:
            low, high = values.min(), values.max()
            x = 4 + np.linspace(0, width - 8, len(values))
            y = height - 4 - (values - low) / max(high - low, 1e-9) * (height - _HEADING - 8)
            points = np.stack([x, y], axis=-1)
            draw_lines(image, np.stack([points[:-1], points[1:]], axis=1), color)
    return image
