"""What every op needs: the Taichi type of a tensor, argument checks, and autodiff's leaves."""

from typing import Any

import taichi as ti
import torch

from taichi_pynerf import runtime

_TAICHI_TYPES = {torch.float32: ti.f32, torch.float64: ti.f64}


def taichi_dtype(tensor: torch.Tensor) -> Any:
    """The Taichi float type of a tensor. Raises ValueError for types that kernels cannot have."""
    if tensor.dtype not in _TAICHI_TYPES:
        raise ValueError(f"expected float32 or float64, got {tensor.dtype}")
    if tensor.dtype == torch.float64 and not runtime.shares_memory():
        raise ValueError("Vulkan lacks functions of float64: use float32, or another backend")
    return _TAICHI_TYPES[tensor.dtype]


def check_shape(name: str, tensor: torch.Tensor, shape: tuple[int | None, ...]) -> None:
    """Raise ValueError unless the tensor has the shape; None matches any length."""
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
    """A detached alias that carries a gradient of its own for `kernel.grad`.

    Taichi adds into `.grad` of the tensors it is given: a fresh leaf keeps it from touching,
    and so doubling, the gradient of the caller's tensor.

    Raises:
        ValueError: on Vulkan, where Taichi's derivative of arrays is wrong (Taichi issue 8524).
    """
    if not runtime.shares_memory():
        raise ValueError("Taichi's autodiff is wrong on Vulkan: use the written adjoint")
    leaf = tensor.detach().requires_grad_()
    leaf.grad = torch.zeros_like(leaf) if grad is None else grad
    return leaf
