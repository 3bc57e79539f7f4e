"""RMSProp over a sparsely touched table in plain torch."""

import torch
from torch import Tensor


@torch.no_grad()
def sparse_rmsprop(
    table: Tensor,
    grad: Tensor,
    square_avg: Tensor,
    weight: Tensor,
    lr: float,
    beta: float,
    eps: float,
) -> None:
    r"""One step on the rows that have a gradient, in place; `grad` is zeroed.

    .. math::
        v \leftarrow \beta v + (1 - \beta) g^2, \quad
        w \leftarrow \beta w + (1 - \beta), \quad
        \theta \leftarrow \theta - \eta \frac{g}{\sqrt{v / w} + \epsilon}

    Adam (Kingma and Ba 2015, algorithm 1) with beta_1 = 0, and with Instant-NGP's rule for hash
    tables (Müller et al. 2022, section 4): a row whose gradient is all zero was not seen in this
    batch, and is left as it is, moment and w included. So w is 1 - beta^t after t steps of a row.

    Args:
        table: parameters, [num_entries, F].
        grad: their gradient, [num_entries, F].
        square_avg: second moments, [num_entries, F].
        weight: [num_entries], what the gradients in the second moments weigh together.
        lr: step length.
        beta: decay of the second moments.
        eps: small number that keeps the division finite.
    """
    touched = (grad != 0).any(dim=1)
    g = grad[touched]
    v = beta * square_avg[touched] + (1 - beta) * g * g
    w = beta * weight[touched] + (1 - beta)
    square_avg[touched], weight[touched] = v, w
    table[touched] -= lr * g / ((v / w.unsqueeze(1)).sqrt() + eps)
    grad.zero_()
