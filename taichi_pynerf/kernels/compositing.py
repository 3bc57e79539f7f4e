"""Volume rendering along packed rays: NeRF's quadrature (Mildenhall et al. 2020, eq. 3).

With interval lengths d_i = t_ends_i - t_starts_i, for the samples i of one ray in order:

    trans_i  = prod_{j<i} exp(-sigma_j d_j)
    weight_i = trans_i (1 - exp(-sigma_i d_i))
    rgb = sum_i weight_i c_i,   depth = sum_i weight_i (t_starts_i + t_ends_i) / 2,
    acc = sum_i weight_i

A ray ends where trans falls to early_stop_eps. The sample there gets the rest of the light above
it, trans_i - early_stop_eps, and samples behind get nothing. So pixels are continuous in the
densities, even if rounding gives a ray one sample more.
"""

import functools
from typing import NamedTuple

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel


class CompositingKernels(NamedTuple):
    composite: Kernel
    composite_adjoint: Kernel
    transmit: Kernel


@functools.cache
def compositing_kernels(dtype) -> CompositingKernels:
    """Compile compositing and its written adjoint for one float type.

    `composite.grad` is Taichi's own derivative and defines the gradient. `trans` is in memory for
    its sake: Taichi cannot differentiate a running product in a local of the inner loop.
    """
    vec3 = ti.types.vector(3, dtype)
    floats, colors = ti.types.ndarray(dtype, 1), ti.types.ndarray(vec3, 1)

    @kernel
    def composite(
        sigmas: floats,
        rgbs: colors,
        t_starts: floats,
        t_ends: floats,
        packed_info: ti.types.ndarray(ti.i32, 2),
        initial_trans: floats,
        early_stop_eps: dtype,
        trans: floats,
        weights: floats,
        rgb: colors,
        depth: floats,
        acc: floats,
    ):
        for r in range(packed_info.shape[0]):
            for j in range(packed_info[r, 1]):
                i = packed_info[r, 0] + j
                if j == 0:
                    trans[i] = initial_trans[r]
                else:
                    trans[i] = trans[i - 1] * ti.exp(
                        -sigmas[i - 1] * (t_ends[i - 1] - t_starts[i - 1])
                    )
                if trans[i] >= early_stop_eps:
                    passed = ti.exp(-sigmas[i] * (t_ends[i] - t_starts[i]))
                    weights[i] = ti.select(
                        trans[i] * passed < early_stop_eps,
                        trans[i] - early_stop_eps,
                        trans[i] * (1 - passed),
                    )
                    rgb[r] += weights[i] * rgbs[i]
                    depth[r] += weights[i] * (t_starts[i] + t_ends[i]) / 2
                    acc[r] += weights[i]
                else:
                    # On Vulkan an array that is only written has undefined content at first.
                    weights[i] = 0

    @kernel
    def composite_adjoint(
        sigmas: floats,
        rgbs: colors,
        t_starts: floats,
        t_ends: floats,
        packed_info: ti.types.ndarray(ti.i32, 2),
        early_stop_eps: dtype,
        trans: floats,
        weights: floats,
        grad_weights: floats,
        grad_rgb: colors,
        grad_depth: floats,
        grad_acc: floats,
        grad_sigmas: floats,
        grad_rgbs: colors,
    ):
        # With q_i = dL/dweight_i:  dL/dsigma_i = d_i (trans_{i+1} q_i - sum_{k>i} weight_k q_k),
        # but 0 for the sample that ends a ray, whose weight falls as trans_i does.
        for r in range(packed_info.shape[0]):
            behind = ti.cast(0, dtype)  # -sum_{k>i} dweight_k/d(sigma_i d_i) q_k
            count = packed_info[r, 1]
            for j in range(count):
                i = packed_info[r, 0] + count - 1 - j
                if trans[i] >= early_stop_eps:
                    d = t_ends[i] - t_starts[i]
                    t_mid = (t_starts[i] + t_ends[i]) / 2
                    q = grad_weights[i] + grad_rgb[r].dot(rgbs[i])
                    q += grad_depth[r] * t_mid + grad_acc[r]
                    trans_behind = trans[i] * ti.exp(-sigmas[i] * d)
                    ends = trans_behind < early_stop_eps
                    grad_sigmas[i] = ti.select(
                        ends, ti.cast(0, dtype), d * (trans_behind * q - behind)
                    )
                    grad_rgbs[i] = weights[i] * grad_rgb[r]
                    behind += ti.select(ends, trans[i], weights[i]) * q
                else:
                    grad_sigmas[i] = 0
                    grad_rgbs[i] = vec3(0)

    @kernel
    def transmit(
        sigmas: floats,
        t_starts: floats,
        t_ends: floats,
        packed_info: ti.types.ndarray(ti.i32, 2),
        initial_trans: floats,
        early_stop_eps: dtype,
        trans: floats,
    ):
        for r in range(packed_info.shape[0]):
            light = initial_trans[r]
            for j in range(packed_info[r, 1]):
                i = packed_info[r, 0] + j
                trans[i] = light
                if light >= early_stop_eps:
                    light *= ti.exp(-sigmas[i] * (t_ends[i] - t_starts[i]))

    return CompositingKernels(composite, composite_adjoint, transmit)
