"""Anti-aliased thin lines, drawn into an image in memory."""

from __future__ import annotations

import numpy as np

_MAX_COORDINATE = 1e5  # greatest coordinate of an end point; farther ones are clipped first


def clip_segments(segments: np.ndarray, width: int, height: int) -> np.ndarray:
    """Clip lines to an image (Liang and Barsky).

    Args:
        segments: [K, 2, 2] end points (x, y).
        width, height: image size, pixels.

    Returns:
        [K', 2, 2] for those K' <= K that meet the image.
    """
    start, delta = segments[:, 0], segments[:, 1] - segments[:, 0]
    low, high = np.zeros(len(segments)), np.ones(len(segments))
    for axis, size in ((0, width), (1, height)):
        step = np.where(np.abs(delta[:, axis]) < 1e-12, 1e-12, delta[:, axis])
        enter, leave = -start[:, axis] / step, (size - start[:, axis]) / step
        low = np.maximum(low, np.minimum(enter, leave))
        high = np.minimum(high, np.maximum(enter, leave))
    kept = low < high
    start, delta, low, high = start[kept], delta[kept], low[kept, None], high[kept, None]
    return np.stack([start + low * delta, start + high * delta], axis=1)


def draw_lines(
    image: np.ndarray, segments: np.ndarray, color: tuple[int, int, int], opacity: float = 1.0
) -> None:
    """Draw anti-aliased lines one pixel wide (Wu): each step is shared by two pixels.

    Args:
        image: uint8 [H, W, 3], drawn into.
        segments: [K, 2, 2] end points (x, y) in image coordinates, on the image or not.
        color: colour of the lines.
        opacity: opacity of the lines, in [0, 1].
    """
    height, width = image.shape[:2]
    segments = np.clip(segments, -_MAX_COORDINATE, _MAX_COORDINATE)
    segments = clip_segments(segments, width, height)
    if not len(segments):
        return
    delta = segments[:, 1] - segments[:, 0]
    steps = np.maximum(np.ceil(np.abs(delta).max(1)).astype(int), 1)
    line = np.repeat(np.arange(len(segments)), steps)
    first = np.repeat(np.cumsum(steps) - steps, steps)
    share = (np.arange(len(line)) - first + 0.5) / steps[line]
    points = segments[line, 0] + share[:, None] * delta[line] - 0.5  # pixel centres are at 0.5
    steep = np.abs(delta[:, 1]) > np.abs(delta[:, 0])
    along = np.where(steep[line], points[:, 1], points[:, 0]).round().astype(int)
    across = np.where(steep[line], points[:, 0], points[:, 1])
    below = np.floor(across).astype(int)

    ink = np.zeros((height, width), dtype=np.float32)
    for offset, weight in ((0, 1.0 - (across - below)), (1, across - below)):
        x = np.where(steep[line], below + offset, along)
        y = np.where(steep[line], along, below + offset)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        np.maximum.at(ink, (y[inside], x[inside]), weight[inside].astype(np.float32))
    rows, columns = ink.nonzero()
    cover = opacity * ink[rows, columns, None]
    mixed = (1.0 - cover) * image[rows, columns] + cover * np.asarray(color, dtype=np.float32)
    image[rows, columns] = mixed.round().astype(np.uint8)
