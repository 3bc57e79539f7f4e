"""The optimizer of the feature tables, and which optimizer has which parameters."""

import torch

from taichi_pynerf.model import PyNeRF
from taichi_pynerf.ops.adam import sparse_adam

BETAS, EPS = (0.9, 0.99), 1e-15  # instant-ngp, section 4


class TableAdam(torch.optim.Optimizer):
    """Adam that steps only the table rows that got a gradient (instant-ngp, section 4).

    It leaves every gradient zero: no `zero_grad` is needed, and none should replace the buffers.
    """

    def __init__(self, tables, lr: float, betas=BETAS, eps: float = EPS):
        super().__init__(tables, dict(lr=lr, betas=betas, eps=eps))

    @torch.no_grad()
    def step(self, closure=None):
        if closure is not None:
            raise ValueError("TableAdam takes no closure")
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is None:
                    continue
                state = self.state[table]
                if not state:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(table)
                    state["exp_avg_sq"] = torch.zeros_like(table)
                state["step"] += 1
                sparse_adam(
                    table, table.grad, state["exp_avg"], state["exp_avg_sq"], state["step"],
                    group["lr"], *group["betas"], group["eps"],
                )  # fmt: skip


def network_parameters(model: PyNeRF) -> list[torch.nn.Parameter]:
    """The weights of the heads and colour networks."""
    return [*model.field.heads.parameters(), *model.field.color_heads.parameters()]


def build_optimizers(model: PyNeRF, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
    """{"tables": TableAdam, "networks": Adam}; tables then take their gradients in place."""
    for encoder in model.field.encoders:
        encoder.accumulate_in_place = True
    return {
        "tables": TableAdam(model.field.encoders.parameters(), learning_rate),
        "networks": torch.optim.Adam(
            network_parameters(model), lr=learning_rate, betas=BETAS, eps=EPS, fused=True
        ),
    }
