"""RMSProp, with Adam's bias correction, on the rows of a feature table that got a gradient.

    v <- beta v + (1 - beta) g^2,      w <- beta w + 1 - beta,
    theta <- theta - lr g / (sqrt(v / w) + eps)

This is Adam (Kingma and Ba 2015, algorithm 1) without its first moment: w = 1 - beta^t corrects the
bias of v towards its start, 0. A row that no sample touched in a step keeps its value, v and w, as
in instant-ngp (section 4): t counts the row's own steps. A first moment would then do harm: a
rarely touched row takes a tenth of the step that its gradient asks for, and the rest of it never,
or much later with another gradient.
"""

import functools
from typing import NamedTuple

import taichi as ti

from taichi_pynerf.kernels.launch import Kernel, kernel

BLOCK = 8192  # rows that a thread lists before it steps them; the list fits its cache


class SparseRMSPropKernels(NamedTuple):
    sparse_rmsprop: Kernel
    sparse_rmsprop_listed: Kernel
    sparse_rmsprop_marked: Kernel


@functools.cache
def sparse_rmsprop_kernels(num_features: int, dtype) -> SparseRMSPropKernels:
    """Compile the step for rows of `num_features` values of one float type.

    There are three kernels with the same result. The first has a thread per row. The second lists
    the touched rows of a block without branching, and then steps them: touched rows are as good as
    random, and a processor that mispredicts every tenth row waits for memory each time. The third
    gets the touched rows as marks, one bit each, and zeroes these.
    """
    row = ti.types.vector(num_features, dtype)
    rows, numbers = ti.types.ndarray(row, 1), ti.types.ndarray(dtype, 1)
    integer = {ti.f32: ti.u32, ti.f64: ti.u64}[dtype]

    @ti.func
    def touched_by(g):
        """Whether any of g is not 0, told by its bits, which are quicker to put together."""
        bits = ti.cast(0, integer)
        for j in ti.static(range(num_features)):
            bits |= ti.bit_cast(g[j], integer)
        return bits + bits != 0  # drops the sign, as -0 is 0

    @ti.func
    def step(
        table: ti.template(), grad: ti.template(), square_avg: ti.template(),
        weight: ti.template(), e, lr, beta, eps,
    ):  # fmt: skip
        g = grad[e]
        v = beta * square_avg[e] + (1 - beta) * g * g
        w = beta * weight[e] + (1 - beta)
        table[e] = table[e] - lr * g / (ti.sqrt(v / w) + eps)
        square_avg[e], weight[e] = v, w
        grad[e] = row(0)

    @kernel
    def sparse_rmsprop(
        table: rows,
        grad: rows,
        square_avg: rows,
        weight: numbers,
        lr: dtype,
        beta: dtype,
        eps: dtype,
    ):
        for e in range(table.shape[0]):
            if touched_by(grad[e]):
                step(table, grad, square_avg, weight, e, lr, beta, eps)

    @kernel
    def sparse_rmsprop_listed(
        table: rows,
        grad: rows,
        square_avg: rows,
        weight: numbers,
        lr: dtype,
        beta: dtype,
        eps: dtype,
        touched: ti.types.ndarray(ti.i32, 1),
    ):
        num_rows = table.shape[0]
        for b in range((num_rows + BLOCK - 1) // BLOCK):
            first, count = b * BLOCK, 0
            for e in range(first, ti.min(first + BLOCK, num_rows)):
                touched[first + count] = e
                count += ti.cast(touched_by(grad[e]), ti.i32)
            for k in range(count):
                step(table, grad, square_avg, weight, touched[first + k], lr, beta, eps)

    @kernel
    def sparse_rmsprop_marked(
        table: rows,
        grad: rows,
        square_avg: rows,
        weight: numbers,
        lr: dtype,
        beta: dtype,
        eps: dtype,
        touched: ti.types.ndarray(ti.i32, 1),
        marks: ti.types.ndarray(ti.i32, 1),
    ):
        words = BLOCK // 32
        for b in range((marks.shape[0] + words - 1) // words):
            first, count = b * BLOCK, 0
            for w in range(b * words, ti.min((b + 1) * words, marks.shape[0])):
                left = marks[w]
                marks[w] = 0
                while left != 0:
                    lowest = left & -left
                    touched[first + count] = w * 32 + 31 - ti.math.clz(lowest)
                    count += 1
                    left ^= lowest
            for k in range(count):
                e = touched[first + k]
                if touched_by(grad[e]):  # nearly always
                    step(table, grad, square_avg, weight, e, lr, beta, eps)

    return SparseRMSPropKernels(sparse_rmsprop, sparse_rmsprop_listed, sparse_rmsprop_marked)
