"""Volume compositing of packed samples, differentiable in densities and colours."""

import math
from typing import Any, NamedTuple

import torch

from taichi_pynerf.kernels.compositing import compositing_kernels
from taichi_pynerf.ops.bridge import (
    autodiff_leaf,
    check_dtype,
    check_shape,
    once_differentiable,
    taichi_dtype,
)


class Composited(NamedTuple):
    """Results of compositing, per ray (rgb, depth, acc) and per sample (weights, trans)."""

    rgb: torch.Tensor
    depth: torch.Tensor
    acc: torch.Tensor
    weights: torch.Tensor
    trans: torch.Tensor


def composite(
    sigmas: torch.Tensor,
    rgbs: torch.Tensor,
    t_starts: torch.Tensor,
    t_ends: torch.Tensor,
    packed_info: torch.Tensor,
    early_stop_eps: float = 0.0,
    use_autodiff: bool = False,
    initial_trans: torch.Tensor | None = None,
) -> Composited:
    """Composite packed samples along their rays (NeRF, eq. 3).

    Args:
        sigmas: [M] densities, per world unit. Differentiable.
        rgbs: [M, 3] colours. Differentiable.
        t_starts, t_ends: [M] borders of each sample's interval, world units.
        packed_info: int32 [N, 2]: first sample and number of samples of each ray.
        early_stop_eps: share of light at which a ray ends; samples behind get weight 0.
        use_autodiff: use Taichi's own derivative instead of the written adjoint.
        initial_trans: [N] share of light that reaches each ray's first sample; by default 1. With
            it a ray can be composited piece by piece. Not differentiable.

    Returns:
        Composited: rgb [N, 3] without background, depth [N] = sum of weight * interval middle,
        acc [N] in [0, 1], weights [M], and trans [M], which is not differentiable.
    """
    _check_samples(sigmas, t_starts, t_ends, packed_info)
    check_shape("rgbs", rgbs, (sigmas.shape[0], 3))
    check_dtype("rgbs", rgbs, sigmas.dtype)
    initial_trans = _check_light(initial_trans, sigmas, packed_info)
    samples = (x.contiguous() for x in (sigmas, rgbs, t_starts, t_ends, packed_info, initial_trans))
    return Composited(*_Composite.apply(*samples, float(early_stop_eps), use_autodiff))


@torch.no_grad()
def transmittance(
    sigmas: torch.Tensor,
    t_starts: torch.Tensor,
    t_ends: torch.Tensor,
    packed_info: torch.Tensor,
    early_stop_eps: float = 0.0,
    initial_trans: torch.Tensor | None = None,
) -> torch.Tensor:
    """The share of light [M] that reaches each packed sample; arguments as in `composite`.

    Once it falls below `early_stop_eps`, all samples behind get this same share. Not
    differentiable.
    """
    _check_samples(sigmas, t_starts, t_ends, packed_info)
    initial_trans = _check_light(initial_trans, sigmas, packed_info)
    trans = torch.zeros_like(sigmas)
    if sigmas.shape[0]:
        compositing_kernels(taichi_dtype(sigmas)).transmit(
            sigmas.detach().contiguous(), t_starts.detach().contiguous(),
            t_ends.detach().contiguous(), packed_info.contiguous(), initial_trans.contiguous(),
            float(early_stop_eps), trans,
        )  # fmt: skip
    return trans


def _check_samples(
    sigmas: torch.Tensor, t_starts: torch.Tensor, t_ends: torch.Tensor, packed_info: torch.Tensor
) -> None:
    """Raise ValueError unless these belong to M packed samples and have one float type."""
    check_shape("sigmas", sigmas, (None,))
    taichi_dtype(sigmas)
    for name, tensor in (("t_starts", t_starts), ("t_ends", t_ends)):
        check_shape(name, tensor, tuple(sigmas.shape))
        check_dtype(name, tensor, sigmas.dtype)
    check_shape("packed_info", packed_info, (None, 2))
    check_dtype("packed_info", packed_info, torch.int32)


def _check_light(
    initial_trans: torch.Tensor | None, sigmas: torch.Tensor, packed_info: torch.Tensor
) -> torch.Tensor:
    """The light [N] that reaches each ray's first sample: as given (checked), or 1."""
    if initial_trans is None:
        return sigmas.new_ones(packed_info.shape[0])
    check_shape("initial_trans", initial_trans, (packed_info.shape[0],))
    check_dtype("initial_trans", initial_trans, sigmas.dtype)
    return initial_trans


def _zeros(like: torch.Tensor, *lengths: int) -> tuple[torch.Tensor, ...]:
    """Vectors of zeros, in one piece of memory: on a card this is one launch."""
    return like.new_zeros(sum(lengths)).split(lengths)


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        sigmas: torch.Tensor,
        rgbs: torch.Tensor,
        t_starts: torch.Tensor,
        t_ends: torch.Tensor,
        packed_info: torch.Tensor,
        initial_trans: torch.Tensor,
        early_stop_eps: float,
        use_autodiff: bool,
    ) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)
        num_rays, num_samples = packed_info.shape[0], sigmas.shape[0]
        rgb, depth, acc = _zeros(rgbs, 3 * num_rays, num_rays, num_rays)
        rgb = rgb.view(num_rays, 3)
        weights, trans = _zeros(sigmas, num_samples, num_samples)
        if sigmas.shape[0]:
            compositing_kernels(taichi_dtype(sigmas)).composite(
                sigmas.detach(), rgbs.detach(), t_starts.detach(), t_ends.detach(), packed_info,
                initial_trans.detach(), early_stop_eps, trans, weights, rgb, depth, acc,
            )  # fmt: skip
        ctx.save_for_backward(
            sigmas, rgbs, t_starts, t_ends, packed_info, initial_trans, trans, weights
        )
        ctx.early_stop_eps, ctx.use_autodiff = early_stop_eps, use_autodiff
        ctx.mark_non_differentiable(trans)
        return rgb, depth, acc, weights, trans

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        sigmas, rgbs, t_starts, t_ends, packed_info, initial_trans, trans, weights = (
            tensor.detach() for tensor in ctx.saved_tensors
        )
        kernels = compositing_kernels(taichi_dtype(sigmas))
        num_rays, num_samples = packed_info.shape[0], sigmas.shape[0]
        shapes = (num_rays, 3), (num_rays,), (num_rays,), (num_samples,)
        nothing = None  # the gradient of all outputs that no loss has asked for
        if any(grad is None for grad in grads[:4]):
            (nothing,) = _zeros(sigmas, max(3 * num_rays, num_samples))
        grad_rgb, grad_depth, grad_acc, grad_weights = (
            nothing[: math.prod(shape)].view(shape) if grad is None else grad.contiguous()
            for grad, shape in zip(grads[:4], shapes, strict=True)
        )
        grad_sigmas, grad_rgbs = _zeros(sigmas, num_samples, 3 * num_samples)
        grad_rgbs = grad_rgbs.view(num_samples, 3)
        if sigmas.shape[0] == 0:
            pass
        elif ctx.use_autodiff:
            # Taichi's adjoint overwrites the cotangents that it is given, so it gets copies.
            cotangents = [grad.clone() for grad in (grad_weights, grad_rgb, grad_depth, grad_acc)]
            outputs = [autodiff_leaf(torch.empty_like(grad), grad) for grad in cotangents[1:]]
            kernels.composite.grad(
                autodiff_leaf(sigmas, grad_sigmas), autodiff_leaf(rgbs, grad_rgbs),
                t_starts, t_ends, packed_info, initial_trans, ctx.early_stop_eps,
                autodiff_leaf(trans), autodiff_leaf(weights, cotangents[0]), *outputs,
            )  # fmt: skip
        else:
            kernels.composite_adjoint(
                sigmas, rgbs, t_starts, t_ends, packed_info, ctx.early_stop_eps, trans, weights,
                grad_weights, grad_rgb, grad_depth, grad_acc, grad_sigmas, grad_rgbs,
            )  # fmt: skip
        return grad_sigmas, grad_rgbs, None, None, None, None, None, None
