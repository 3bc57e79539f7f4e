"""Real spherical harmonics of degree 4 (bands 0 to 3) as polynomials of a unit vector."""

import functools
from typing import NamedTuple

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel

NUM_COEFFICIENTS = 16

# Factors of band 1, band 2 (three kinds) and band 3 (five kinds).
_B1 = 0.48860251190291987
_B2_XY, _B2_ZZ, _B2_XX = 1.0925484305920792, 0.94617469575755997, 0.54627421529603959
_B3_XXX, _B3_XYZ, _B3_XZZ = 0.59004358992664352, 2.8906114426405538, 0.45704579946446572
_B3_ZZZ, _B3_XXZ = 0.3731763325901154, 1.4453057213202769


@functools.cache
def spherical_harmonics_function(dtype):
    """The Taichi function from a unit vector to its 16 coefficients."""
    coefficients = ti.types.vector(NUM_COEFFICIENTS, dtype)

    @ti.func
    def basis_of(d):
        x, y, z = d[0], d[1], d[2]
        xx, yy, zz = x * x, y * y, z * z
        return coefficients(
            0.28209479177387814,
            -_B1 * y,
            _B1 * z,
            -_B1 * x,
            _B2_XY * x * y,
            -_B2_XY * y * z,
            _B2_ZZ * zz - 0.31539156525251999,
            -_B2_XY * x * z,
            _B2_XX * (xx - yy),
            _B3_XXX * y * (yy - 3 * xx),
            _B3_XYZ * x * y * z,
            _B3_XZZ * y * (1 - 5 * zz),
            _B3_ZZZ * z * (5 * zz - 3),
            _B3_XZZ * x * (1 - 5 * zz),
            _B3_XXZ * z * (xx - yy),
            _B3_XXX * x * (3 * yy - xx),
        )

    return basis_of


class SphericalHarmonicsKernels(NamedTuple):
    evaluate: Kernel
    evaluate_adjoint: Kernel


@functools.cache
def spherical_harmonics_kernels(dtype) -> SphericalHarmonicsKernels:
    """Compile the evaluation and its written adjoint; `evaluate.grad` is Taichi's derivative."""
    directions = ti.types.ndarray(ti.types.vector(3, dtype), 1)
    rows = ti.types.ndarray(ti.types.vector(NUM_COEFFICIENTS, dtype), 1)
    basis_of = spherical_harmonics_function(dtype)

    @kernel
    def evaluate(dirs: directions, basis: rows):
        for i in range(dirs.shape[0]):
            basis[i] = basis_of(dirs[i])

    @kernel
    def evaluate_adjoint(dirs: directions, grad_basis: rows, grad_dirs: directions):
        for i in range(dirs.shape[0]):
            g, x, y, z = grad_basis[i], dirs[i][0], dirs[i][1], dirs[i][2]
            xx, yy, zz = x * x, y * y, z * z
            dx = -_B1 * g[3] + _B2_XY * (g[4] * y - g[7] * z) + 2 * _B2_XX * g[8] * x
            dx += _B3_XXX * (-6 * g[9] * x * y + 3 * g[15] * (yy - xx)) + _B3_XYZ * g[10] * y * z
            dx += _B3_XZZ * g[13] * (1 - 5 * zz) + 2 * _B3_XXZ * g[14] * x * z
            dy = -_B1 * g[1] + _B2_XY * (g[4] * x - g[5] * z) - 2 * _B2_XX * g[8] * y
            dy += _B3_XXX * (3 * g[9] * (yy - xx) + 6 * g[15] * x * y) + _B3_XYZ * g[10] * x * z
            dy += _B3_XZZ * g[11] * (1 - 5 * zz) - 2 * _B3_XXZ * g[14] * y * z
            dz = _B1 * g[2] - _B2_XY * (g[5] * y + g[7] * x) + 2 * _B2_ZZ * g[6] * z
            dz += _B3_XYZ * g[10] * x * y - 10 * _B3_XZZ * z * (g[11] * y + g[13] * x)
            dz += _B3_ZZZ * g[12] * (15 * zz - 3) + _B3_XXZ * g[14] * (xx - yy)
            grad_dirs[i] = ti.Vector([dx, dy, dz])

    return SphericalHarmonicsKernels(evaluate, evaluate_adjoint)
