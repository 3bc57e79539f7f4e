"""Inverse-CDF sampling in plain torch."""

import torch
from torch import Tensor

WEIGHT_PADDING = 1e-5


@torch.no_grad()
def sample_pdf(bins: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Draw from a piecewise-constant density by inverting its distribution function.

    The hierarchical sampling of NeRF (Mildenhall et al. 2020, section 5.2). `WEIGHT_PADDING` is
    added to every weight, so that a ray of no weight at all is sampled evenly. No gradient.

    Args:
        bins: edges of the bins, ascending, [N, B + 1].
        weights: mass of each bin, not negative; they need not sum to 1, [N, B].
        u: places in the distribution function, in [0, 1), [N, S].

    Returns:
        Samples, [N, S]; they ascend where `u` ascends.
    """
    padded = weights + WEIGHT_PADDING
    pdf = padded / padded.sum(dim=1, keepdim=True)
    cdf = torch.cat([torch.zeros_like(pdf[:, :1]), pdf.cumsum(dim=1)], dim=1)

    last_bin = weights.shape[1] - 1
    # Contiguous, as searchsorted would otherwise warn of a copy.
    chosen = (torch.searchsorted(cdf, u.contiguous(), right=True) - 1).clamp(0, last_bin)
    left, right = bins.gather(1, chosen), bins.gather(1, chosen + 1)
    fraction = (u - cdf.gather(1, chosen)) / pdf.gather(1, chosen)
    return left + fraction.clamp(0, 1) * (right - left)
