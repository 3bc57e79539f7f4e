"""Hierarchical sampling: new distances where the coarse weights are large."""

import torch

from taichi_pynerf.kernels.resampling import sample_pdf_kernel
from taichi_pynerf.ops.bridge import check_dtype, check_shape, taichi_dtype

PADDING = 1e-5  # added to each weight, so that rays without weight are sampled evenly


@torch.no_grad()
def sample_pdf(bins: torch.Tensor, weights: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Draw from the piecewise-constant density that has `weights` on `bins`.

    Args:
        bins: [N, B + 1] ascending interval borders per ray, world units.
        weights: [N, B] non-negative, not normalised.
        u: [N, S] in [0, 1): places in the cumulative distribution; sorted u give sorted samples.

    Returns:
        [N, S] distances. Not differentiable (NeRF section 5.2 stops the gradient here).
    """
    check_shape("weights", weights, (None, None))
    num_rays, num_bins = weights.shape
    check_shape("bins", bins, (num_rays, num_bins + 1))
    check_shape("u", u, (num_rays, None))
    for name, tensor in (("bins", bins), ("u", u)):
        check_dtype(name, tensor, weights.dtype)
    kernel = sample_pdf_kernel(taichi_dtype(weights))
    samples = torch.empty_like(u, memory_format=torch.contiguous_format)
    if samples.numel():
        cdf = torch.empty_like(bins, memory_format=torch.contiguous_format)
        arguments = (x.detach().contiguous() for x in (bins, weights))
        kernel(*arguments, PADDING, u.detach().contiguous(), cdf, samples)
    return samples
