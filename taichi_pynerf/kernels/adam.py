"""Adam on the rows of a feature table that got a gradient.

Kingma and Ba, "Adam", 2015, algorithm 1, on the touched rows only, as instant-ngp does (section
4 there): a row that no sample touched in this step keeps its value and its moments.
"""

import functools

import taichi as ti


@functools.cache
def sparse_adam_kernel(num_features: int, dtype):
    """Compile the step for rows of `num_features` values of one float type."""
    row = ti.types.vector(num_features, dtype)
    rows = ti.types.ndarray(row, 1)

    @ti.kernel
    def sparse_adam(
        table: rows,
        grad: rows,
        exp_avg: rows,
        exp_avg_sq: rows,
        step_size: dtype,
        beta1: dtype,
        beta2: dtype,
        root_correction2: dtype,
        eps: dtype,
    ):
        for e in range(table.shape[0]):
            g = grad[e]
            if (g != 0).any():
                m = beta1 * exp_avg[e] + (1 - beta1) * g
                v = beta2 * exp_avg_sq[e] + (1 - beta2) * g * g
                table[e] -= step_size * m / (ti.sqrt(v) / root_correction2 + eps)
                exp_avg[e], exp_avg_sq[e] = m, v
                grad[e] = row(0)

    return sparse_adam
