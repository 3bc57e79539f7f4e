"""RMSProp, with Adam's bias correction, on the rows of a feature table that got a gradient.

    v <- beta v + (1 - beta) g^2,      theta <- theta - lr g / (sqrt(v / (1 - beta^t)) + eps)

This is Adam (Kingma and Ba 2015, algorithm 1) without its first moment. A row that no sample
touched in a step keeps its value and its moment, as in instant-ngp (section 4). A first moment
would then do harm: a rarely touched row takes a tenth of the step that its gradient asks for, and
the rest of it never, or much later with another gradient.
"""

import functools

import taichi as ti


@functools.cache
def sparse_rmsprop_kernel(num_features: int, dtype):
    """Compile the step for rows of `num_features` values of one float type."""
    row = ti.types.vector(num_features, dtype)
    rows = ti.types.ndarray(row, 1)

    @ti.kernel
    def sparse_rmsprop(
        table: rows, grad: rows, square_avg: rows, lr: dtype, beta: dtype, root: dtype, eps: dtype
    ):
        for e in range(table.shape[0]):
            g = grad[e]
            if (g != 0).any():
                v = beta * square_avg[e] + (1 - beta) * g * g
                table[e] = table[e] - lr * g / (ti.sqrt(v) / root + eps)
                square_avg[e] = v
                grad[e] = row(0)

    return sparse_rmsprop
