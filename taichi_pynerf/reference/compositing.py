"""Volume compositing in plain torch."""

from typing import NamedTuple

import torch
from torch import Tensor


class Composited(NamedTuple):
    """What `composite` returns, for N rays of M samples together."""

    rgb: Tensor  # [N, 3], without background
    depth: Tensor  # [N]
    acc: Tensor  # [N]
    weights: Tensor  # [M]
    trans: Tensor  # [M], carries no gradient


def composite(
    sigmas: Tensor,
    rgbs: Tensor,
    t_starts: Tensor,
    t_ends: Tensor,
    packed_info: Tensor,
    early_stop_eps: float = 0.0,
) -> Composited:
    r"""Emission-absorption quadrature along rays (Max 1995; NeRF, Mildenhall et al. 2020, eq. 3).

    .. math::
        \alpha_i = 1 - e^{-\sigma_i (t^{end}_i - t^{start}_i)}, \quad
        T_i = \prod_{j<i} (1 - \alpha_j), \quad w_i = T_i \alpha_i

    Differentiable in `sigmas` and `rgbs`.

    Args:
        sigmas: densities, [M].
        rgbs: colours, [M, 3].
        t_starts: near ends of the samples' intervals, [M].
        t_ends: far ends, [M].
        packed_info: first sample and number of samples of each ray, int32 [N, 2].
        early_stop_eps: transmittance at which a ray ends; the sample there gets the rest of the
            light above it.

    Returns:
        Colour, depth and opacity of each ray; weight and transmittance of each sample.
    """
    num_rays = packed_info.shape[0]
    rgb = sigmas.new_zeros(num_rays, 3)
    depth = sigmas.new_zeros(num_rays)
    acc = sigmas.new_zeros(num_rays)
    weights = torch.zeros_like(sigmas)
    trans = torch.zeros_like(sigmas)

    for ray, (start, count) in enumerate(packed_info.tolist()):
        samples = slice(start, start + count)
        optical_depth = sigmas[samples] * (t_ends[samples] - t_starts[samples])
        alphas = 1 - torch.exp(-optical_depth)
        depth_before = torch.cat([optical_depth.new_zeros(1), optical_depth.cumsum(0)])[:count]
        ray_trans = torch.exp(-depth_before)
        ends = ray_trans * (1 - alphas) < early_stop_eps
        ray_weights = torch.where(ends, ray_trans - early_stop_eps, ray_trans * alphas)
        ray_weights = ray_weights * (ray_trans.detach() >= early_stop_eps)
        midpoints = (t_starts[samples] + t_ends[samples]) / 2

        rgb[ray] = (ray_weights[:, None] * rgbs[samples]).sum(0)
        depth[ray] = (ray_weights * midpoints).sum()
        acc[ray] = ray_weights.sum()
        weights[samples] = ray_weights
        trans[samples] = ray_trans.detach()
    return Composited(rgb, depth, acc, weights, trans)
