"""Spherical harmonics of directions, differentiable."""

from typing import Any

import torch

from taichi_pynerf.kernels.spherical_harmonics import (
    NUM_COEFFICIENTS,
    spherical_harmonics_kernels,
)
from taichi_pynerf.ops.bridge import autodiff_leaf, check_shape, once_differentiable, taichi_dtype

__all__ = ["NUM_COEFFICIENTS", "spherical_harmonics"]


def spherical_harmonics(dirs: torch.Tensor, use_autodiff: bool = False) -> torch.Tensor:
    """Evaluate the 16 real spherical harmonics of bands 0 to 3.

    Args:
        dirs: [M, 3] unit vectors, float32 or float64. Differentiable.
        use_autodiff: use Taichi's own derivative instead of the written adjoint.

    Returns:
        [M, 16]; orthonormal over the sphere.
    """
    check_shape("dirs", dirs, (None, 3))
    taichi_dtype(dirs)
    return _SphericalHarmonics.apply(dirs.contiguous(), use_autodiff)


class _SphericalHarmonics(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dirs: torch.Tensor, use_autodiff: bool) -> torch.Tensor:
        ctx.save_for_backward(dirs)
        ctx.use_autodiff = use_autodiff
        basis = dirs.new_empty(dirs.shape[0], NUM_COEFFICIENTS)
        if dirs.shape[0]:
            spherical_harmonics_kernels(taichi_dtype(dirs)).evaluate(dirs.detach(), basis)
        return basis

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_basis: torch.Tensor) -> tuple[torch.Tensor, None]:
        (dirs,) = ctx.saved_tensors
        dirs, grad_dirs = dirs.detach(), torch.zeros_like(dirs)
        kernels = spherical_harmonics_kernels(taichi_dtype(dirs))
        if dirs.shape[0] == 0:
            pass
        elif ctx.use_autodiff:
            cotangents = grad_basis.clone(memory_format=torch.contiguous_format)
            basis = autodiff_leaf(torch.empty_like(cotangents), cotangents)
            kernels.evaluate.grad(autodiff_leaf(dirs, grad_dirs), basis)
        else:
            kernels.evaluate_adjoint(dirs, grad_basis.contiguous(), grad_dirs)
        return grad_dirs, None
