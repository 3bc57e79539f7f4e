"""Drawing pixels where neighbouring pixels differ.

A step's gradient is a mean over few pixels, and so it is noisy. Errors are large at edges and in
fine texture, and next to nothing in even areas. So pixels are drawn in proportion to their contrast
and have weights in inverse proportion: the mean stays what it is, and the noise falls (importance
sampling). A part of the probability is even over all pixels, so that no weight is large (a
defensive mixture: Hesterberg, "Weighted Average Importance Sampling and Defensive Mixture
Distributions", 1995).

Nothing is stored of the images. A few times as many pixels are drawn evenly, looked at with their
neighbours, and drawn from again (sampling, importance resampling: Rubin 1988).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

CANDIDATES = 4  # pixels that are looked at for each that is drawn
LOOKS = ((0, 0), (1, 0), (0, 1))  # at a pixel, beside it and below it: columns and rows
SCALE = 64  # whole numbers per 1 / 255 of contrast


def local_contrast(
    values_at: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    width: torch.Tensor,
    height: torch.Tensor,
) -> torch.Tensor:
    """How much pixels differ from the one to their right and the one below.

    Args:
        values_at: maps columns and rows, both int64 [len(LOOKS) * K], all pixels look by look, to
            their values in 0 to 255, [len(LOOKS) * K, C] of any type.
        x, y: int64 [K], columns and rows of pixels.
        width, height: int64 [K], the sizes of their images.

    Returns:
        int64 [K], the root of the summed square differences in units of 1 / (255 * SCALE). Whole
        numbers are the same, and add up to the same, on every device.
    """
    last_x, last_y = width - 1, height - 1
    columns = torch.cat([(x + dx).minimum(last_x) for dx, _ in LOOKS])
    rows = torch.cat([(y + dy).minimum(last_y) for _, dy in LOOKS])
    values = values_at(columns, rows).view(len(LOOKS), -1).float()
    squares = (values[1:] - values[0]).square_().sum(0).view(len(x), -1).sum(1)  # exact in float32
    return squares.double().sqrt_().mul_(SCALE).round_().long()


def draw_by_contrast(
    contrast: torch.Tensor, share: float, count: int, offset: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw N of K pixels by systematic resampling.

    Pixel i is drawn N p_i / K times, rounded up or down at random, where

        p_i = (1 - share) + share * contrast_i / mean(contrast),

    and has the weight 1 / p_i.

    Args:
        contrast: int64 [K].
        share: in (0, 1): part of the probability that follows the contrast.
        count: N.
        offset: in [0, 1), random.

    Returns:
        int64 [N] ascending indices of pixels, and float32 [N] their weights. The expectation of a
        weighted mean over the N is the mean over the K.
    """
    # In whole numbers, tickets for each pixel alike: 1 more than the even part, as there may be no
    # contrast anywhere.
    even = contrast.sum().double() * ((1 - share) / (share * len(contrast)))
    tickets = contrast + (1 + even.long())
    ends = tickets.cumsum(0)
    places = torch.arange(count, dtype=torch.float64, device=contrast.device).add_(offset)
    places = places.mul_(ends[-1].double() / count).long()
    chosen = torch.searchsorted(ends, places, right=True).clamp_max_(len(contrast) - 1)
    weights = (ends[-1].double() / len(contrast)) / tickets.index_select(0, chosen)
    return chosen, weights.float()
