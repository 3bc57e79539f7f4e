"""Adam over a sparsely touched table in plain torch."""

import torch
from torch import Tensor


@torch.no_grad()
def sparse_adam(
    table: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    r"""One step of Adam on the rows that have a gradient, in place; `grad` is zeroed.

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2,
        \quad \theta \leftarrow \theta - \eta
        \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Adam (Kingma and Ba 2015, algorithm 1), with Instant-NGP's rule for hash tables (Müller et al.
    2022, section 4): a row whose gradient is all zero was not seen in this batch, and is left as
    it is, moments included. The bias correction goes by the global step even so.

    Args:
        table: parameters, [num_entries, F].
        grad: their gradient, [num_entries, F].
        exp_avg: first moments, [num_entries, F].
        exp_avg_sq: second moments, [num_entries, F].
        step: number of this step, counted from 1.
        lr: step length.
        beta1: decay of the first moments.
        beta2: decay of the second moments.
        eps: keeps the division finite.
    """
    touched = (grad != 0).any(dim=1)
    g = grad[touched]
    m = beta1 * exp_avg[touched] + (1 - beta1) * g
    v = beta2 * exp_avg_sq[touched] + (1 - beta2) * g * g
    exp_avg[touched] = m
    exp_avg_sq[touched] = v
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    table[touched] -= lr * m_hat / (v_hat.sqrt() + eps)
    grad.zero_()
