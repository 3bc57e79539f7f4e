"""Inverse-CDF sampling of a piecewise-constant density along each ray.

NeRF's hierarchical sampling (Mildenhall et al. 2020, section 5.2): samples fall where the coarse
pass found weight.
"""

import functools

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel


@functools.cache
def sample_pdf_kernel(dtype) -> Kernel:
    """Compile the sampler for one float type."""
    floats = ti.types.ndarray(dtype, 2)

    @kernel
    def sample_pdf(
        bins: floats, weights: floats, padding: dtype, u: floats, cdf: floats, samples: floats
    ):
        for r in range(bins.shape[0]):
            num_bins = weights.shape[1]
            total = ti.cast(0, dtype)
            for b in range(num_bins):
                cdf[r, b] = total
                total += weights[r, b] + padding
            cdf[r, num_bins] = total
            for s in range(u.shape[1]):
                target = u[r, s] * total
                low, high = 0, num_bins - 1  # the last bin whose lower cdf is <= target
                while low < high:
                    middle = (low + high + 1) // 2
                    if cdf[r, middle] <= target:
                        low = middle
                    else:
                        high = middle - 1
                inside = (target - cdf[r, low]) / (cdf[r, low + 1] - cdf[r, low])
                inside = ti.math.clamp(inside, 0, 1)
                samples[r, s] = bins[r, low] + inside * (bins[r, low + 1] - bins[r, low])

    return sample_pdf
