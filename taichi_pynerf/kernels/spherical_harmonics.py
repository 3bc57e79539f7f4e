"""Real spherical harmonics of degree 4 (bands 0 to 3) as polynomials of a unit vector."""

import functools

import taichi as ti

NUM_COEFFICIENTS = 16


@functools.cache
def spherical_harmonics_kernel(dtype):
    """Compile the evaluation for one float type; `.grad` is its derivative."""
    vec3 = ti.types.vector(3, dtype)

    @ti.kernel
    def evaluate(dirs: ti.types.ndarray(vec3, 1), basis: ti.types.ndarray(dtype, 2)):
        for i in range(dirs.shape[0]):
            x, y, z = dirs[i][0], dirs[i][1], dirs[i][2]
            xx, yy, zz = x * x, y * y, z * z
            basis[i, 0] = 0.28209479177387814
            basis[i, 1] = -0.48860251190291987 * y
            basis[i, 2] = 0.48860251190291987 * z
            basis[i, 3] = -0.48860251190291987 * x
            basis[i, 4] = 1.0925484305920792 * x * y
            basis[i, 5] = -1.0925484305920792 * y * z
            basis[i, 6] = 0.94617469575755997 * zz - 0.31539156525251999
            basis[i, 7] = -1.0925484305920792 * x * z
            basis[i, 8] = 0.54627421529603959 * (xx - yy)
            basis[i, 9] = 0.59004358992664352 * y * (yy - 3 * xx)
            basis[i, 10] = 2.8906114426405538 * x * y * z
            basis[i, 11] = 0.45704579946446572 * y * (1 - 5 * zz)
            basis[i, 12] = 0.3731763325901154 * z * (5 * zz - 3)
            basis[i, 13] = 0.45704579946446572 * x * (1 - 5 * zz)
            basis[i, 14] = 1.4453057213202769 * z * (xx - yy)
            basis[i, 15] = 0.59004358992664352 * x * (3 * yy - xx)

    return evaluate
