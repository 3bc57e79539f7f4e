"""Shared parts of all ops: Taichi types, argument checks, leaves for autodiff, one derivative."""

import functools
from collections.abc import Callable
from typing import Any

import taichi as ti
import torch

from taichi_pynerf import runtime

_TAICHI_TYPES = {torch.float32: ti.f32, torch.float64: ti.f64}


def taichi_dtype(tensor: torch.Tensor) -> Any:
    """The Taichi float type of a tensor. Raises ValueError for types that kernels do not take."""
    if tensor.dtype not in _TAICHI_TYPES:
        raise ValueError(f"expected float32 or float64, got {tensor.dtype}")
    if tensor.dtype == torch.float64 and not runtime.shares_memory():
        raise ValueError("Vulkan lacks functions of float64: use float32, or another backend")
    return _TAICHI_TYPES[tensor.dtype]


def check_shape(name: str, tensor: torch.Tensor, shape: tuple[int | None, ...]) -> None:
    """Raise ValueError unless the tensor has the shape; None matches any length.

    Every op begins with this. So Taichi is started here if an op is used by itself.
    """
    runtime.ensure_started()
    fits = tensor.dim() == len(shape) and all(
        want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("*" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} must have shape [{wanted}], got {list(tensor.shape)}")


def check_dtype(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> None:
    """Raise ValueError unless the tensor has the type."""
    if tensor.dtype != dtype:
        raise ValueError(f"{name} must be {dtype}, got {tensor.dtype}")


def autodiff_leaf(tensor: torch.Tensor, grad: torch.Tensor | None = None) -> torch.Tensor:
    """A detached alias of a tensor that has its own gradient, for `kernel.grad`.

    Taichi adds into `.grad` of the tensors that it is given. A new leaf keeps it from adding to,
    and so doubling, the gradient of the caller's tensor.

    Raises:
        ValueError: on Vulkan, where Taichi's derivative of arrays is wrong (Taichi issue 8524).
    """
    if not runtime.shares_memory():
        raise ValueError("Taichi's autodiff is wrong on Vulkan: use the written adjoint")
    leaf = tensor.detach().requires_grad_()
    leaf.grad = torch.zeros_like(leaf) if grad is None else grad
    return leaf


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for the `backward` of a `torch.autograd.Function` that kernels compute.

    torch does not know how its gradients depend on its inputs. With `create_graph=True` they are
    therefore marked, so that differentiating them again is an error. torch's decorator of this name
    marks them only if the incoming gradient has a graph, and so treats the gradient of a plain sum
    as a constant.
    """

    @functools.wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        with torch.no_grad():
            found = backward(ctx, *grads)
        if not torch.is_grad_enabled():
            return found
        name = ctx.name().removesuffix("Backward").lstrip("_")
        mark = torch.zeros((), requires_grad=True)
        return tuple(None if x is None else _NoMore.apply(x, mark, name) for x in found)

    return once


class _NoMore(torch.autograd.Function):
    """Identity that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, grad: torch.Tensor, mark: torch.Tensor, name: str) -> torch.Tensor:
        ctx.name_of_op = name
        return grad.view_as(grad)

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> None:
        raise NotImplementedError(
            f"{ctx.name_of_op} has no second derivative: a loss on a gradient, such as an eikonal "
            "term, cannot be trained through it; take differences of values instead"
        )
