"""Spherical harmonics of directions, differentiable."""

import torch

from taichi_pynerf.kernels.spherical_harmonics import NUM_COEFFICIENTS, spherical_harmonics_kernel
from taichi_pynerf.ops.bridge import autodiff_leaf, check_shape, taichi_dtype

__all__ = ["NUM_COEFFICIENTS", "spherical_harmonics"]


def spherical_harmonics(dirs: torch.Tensor) -> torch.Tensor:
    """Evaluate the 16 real spherical harmonics of bands 0 to 3.

    Args:
        dirs: [M, 3] unit vectors, float32 or float64. Differentiable.

    Returns:
        [M, 16]; orthonormal over the sphere.
    """
    check_shape("dirs", dirs, (None, 3))
    taichi_dtype(dirs)
    return _SphericalHarmonics.apply(dirs.contiguous())


class _SphericalHarmonics(torch.autograd.Function):
    @staticmethod
    def forward(ctx, dirs):
        ctx.save_for_backward(dirs)
        basis = dirs.new_empty(dirs.shape[0], NUM_COEFFICIENTS)
        if dirs.shape[0]:
            spherical_harmonics_kernel(taichi_dtype(dirs))(dirs.detach(), basis)
        return basis

    @staticmethod
    def backward(ctx, grad_basis):
        (dirs,) = ctx.saved_tensors
        leaf = autodiff_leaf(dirs)
        if dirs.shape[0]:
            cotangents = grad_basis.clone(memory_format=torch.contiguous_format)
            basis = autodiff_leaf(torch.empty_like(cotangents), cotangents)
            spherical_harmonics_kernel(taichi_dtype(dirs)).grad(leaf, basis)
        return leaf.grad
