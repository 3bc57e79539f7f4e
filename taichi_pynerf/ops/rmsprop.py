"""The optimizer step of a feature table, on the rows that got a gradient."""

import functools

import torch

from taichi_pynerf import runtime
from taichi_pynerf.kernels.rmsprop import sparse_rmsprop_kernels
from taichi_pynerf.ops.bridge import check_dtype, check_shape, taichi_dtype
from taichi_pynerf.ops.residence import device_memory
from taichi_pynerf.ops.touched_rows import forget_touched_rows, touched_rows


@torch.no_grad()
def sparse_rmsprop(
    table: torch.Tensor,
    grad: torch.Tensor,
    square_avg: torch.Tensor,
    weight: torch.Tensor,
    lr: float,
    beta: float,
    eps: float,
) -> None:
    """One bias-corrected RMSProp step in place, touched rows only: Adam without first moment.

    A row whose gradient is all zero keeps its value and moment, as in instant-ngp (section 4);
    the others take the step, with a bias correction that counts the steps of each row. `grad` is
    zero afterwards.

    Args:
        table, grad, square_avg: [E, F], contiguous, one float type; each may be kept on the device
            (`ops.residence`). Moments begin at 0. If `grad` has marks (`ops.touched_rows`), not all
            rows are looked at.
        weight: [E], likewise: what the gradients that `square_avg` has seen weigh together,
            1 - beta^t after t steps of a row; it begins at 0.
        lr: learning rate.
        beta: decay of the running mean of squares.
        eps: small number that keeps the division finite.
    """
    check_shape("table", table, (None, None))
    check_shape("weight", weight, (table.shape[0],))
    check_dtype("weight", weight, table.dtype)
    for name, tensor in (("grad", grad), ("square_avg", square_avg)):
        check_shape(name, tensor, tuple(table.shape))
        check_dtype(name, tensor, table.dtype)
    if not all(x.is_contiguous() for x in (table, grad, square_avg, weight)):
        raise ValueError(
            "table, grad, square_avg and weight are updated in place: make them contiguous"
        )
    kernels = sparse_rmsprop_kernels(table.shape[1], taichi_dtype(table))
    arrays = (device_memory(tensor, writes=True) for tensor in (table, grad, square_avg, weight))
    settings = (lr, beta, eps)
    marks = touched_rows(grad)
    if not runtime.on_cpu():
        kernels.sparse_rmsprop(*arrays, *settings)
    elif marks is not None:
        kernels.sparse_rmsprop_marked(*arrays, *settings, _row_list(table.shape[0]), marks)
    else:
        kernels.sparse_rmsprop_listed(*arrays, *settings, _row_list(table.shape[0]))
        forget_touched_rows(grad)


@functools.cache
def _row_list(num_rows: int) -> torch.Tensor:
    """A kept buffer for row numbers, as large as all rows; few of its pages are ever written."""
    return torch.empty(num_rows, dtype=torch.int32)
