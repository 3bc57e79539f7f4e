"""The Adam step of a feature table, on the rows that got a gradient."""

import torch

from taichi_pynerf.kernels.adam import sparse_adam_kernel
from taichi_pynerf.ops.bridge import check_dtype, check_shape, taichi_dtype


@torch.no_grad()
def sparse_adam(
    table: torch.Tensor,
    grad: torch.Tensor,
    exp_avg: torch.Tensor,
    exp_avg_sq: torch.Tensor,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """One Adam step in place (Kingma and Ba 2015, algorithm 1), touched rows only.

    A row whose gradient is all zero keeps its value and moments, as in instant-ngp; the others
    take the step with the bias correction of the global step count. `grad` is zero afterwards.

    Args:
        table, grad, exp_avg, exp_avg_sq: [E, F], contiguous, one float type.
        step: number of this step, from 1 on.
    """
    check_shape("table", table, (None, None))
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    for name, tensor in (("grad", grad), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
        check_shape(name, tensor, tuple(table.shape))
        check_dtype(name, tensor, table.dtype)
    if not all(x.is_contiguous() for x in (table, grad, exp_avg, exp_avg_sq)):
        raise ValueError("table, grad and the moments are updated in place: make them contiguous")
    kernel = sparse_adam_kernel(table.shape[1], taichi_dtype(table))
    step_size = lr / (1 - beta1**step)
    root_correction2 = (1 - beta2**step) ** 0.5
    kernel(
        table.detach(), grad, exp_avg, exp_avg_sq, step_size, beta1, beta2, root_correction2, eps
    )
