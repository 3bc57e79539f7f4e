"""The optimizer of the feature tables, and the split of the parameters between optimizers."""

from typing import Any

import torch

from taichi_pynerf.model.encodings import PyramidEncoder
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.ops.residence import keep_on_device, to_host
from taichi_pynerf.ops.rmsprop import sparse_rmsprop

BETAS, EPS = (0.9, 0.99), 1e-15  # instant-ngp, section 4


class TableRMSProp(torch.optim.Optimizer):
    """RMSProp that steps only the table rows that got a gradient; see `ops.rmsprop`.

    It leaves every gradient at zero, so no `zero_grad` is needed.
    """

    def __init__(
        self, tables: list[torch.nn.Parameter], lr: float, beta: float = BETAS[1], eps: float = EPS
    ):
        super().__init__(tables, {"lr": lr, "beta": beta, "eps": eps})

    def state_dict(self) -> dict:
        for state in self.state.values():
            for tensor in state.values():
                to_host(tensor)
        return super().state_dict()

    def load_state_dict(self, state_dict: dict) -> None:
        """The inverse of `state_dict`; also of one that counted the steps of all rows together."""
        states = {key: dict(state) for key, state in state_dict["state"].items()}
        for state in states.values():
            if "step" in state:
                seen = (state["square_avg"] != 0).any(1)
                beta = state_dict["param_groups"][0]["beta"]
                state["weight"] = (1 - beta ** state.pop("step")) * seen.to(torch.float32)
        super().load_state_dict({**state_dict, "state": states})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Zero the gradients in place: encoders add into these buffers, which are as large as the
        tables."""
        super().zero_grad(set_to_none=False)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # None: torch returns what a closure returns
        if closure is not None:
            raise ValueError("TableRMSProp takes no closure")
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is None:
                    continue
                state = self.state[table]
                if not state:
                    state["square_avg"] = torch.zeros_like(table)
                    state["weight"] = torch.zeros_like(table[:, 0])
                for tensor in state.values():
                    keep_on_device(tensor)
                sparse_rmsprop(
                    table, table.grad, state["square_avg"], state["weight"],
                    group["lr"], group["beta"], group["eps"],
                )  # fmt: skip


def load_moments(optimizer: torch.optim.Optimizer, given: Any) -> None:
    """Load the moments of `optimizer.state_dict()` from elsewhere, and only these.

    Constants are those of the optimizer itself, and its rate is set anew at each step.

    Raises:
        ValueError: they are not moments of these parameters.
    """
    own = optimizer.state_dict()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states = given["state"] if isinstance(given, dict) else None
    if not isinstance(states, dict) or not set(states) <= set(range(len(parameters))):
        raise ValueError("the optimizer's state is of other parameters")
    needed = {"square_avg"} if isinstance(optimizer, TableRMSProp) else {"exp_avg", "exp_avg_sq"}
    for number, state in states.items():
        shapes = (parameters[number].shape, parameters[number].shape[:1], torch.Size())
        if not isinstance(state, dict) or not needed <= set(state) <= {*needed, "step", "weight"}:
            raise ValueError(f"the optimizer's state of parameter {number} is of another kind")
        for name, value in state.items():
            tensor = torch.as_tensor(value, dtype=None if torch.is_tensor(value) else torch.float64)
            if tensor.shape not in shapes or not tensor.dtype.is_floating_point:
                raise ValueError(f"the optimizer's {name} of parameter {number} is of another kind")
            if name in needed and tensor.shape != shapes[0]:
                raise ValueError(f"the optimizer's {name} of parameter {number} is too small")
    groups = given.get("param_groups")
    if not isinstance(groups, list) or len(groups) != len(own["param_groups"]):
        raise ValueError("the optimizer's groups are of another kind")
    for group, other in zip(own["param_groups"], groups, strict=True):
        group["lr"] = float(other["lr"])
    optimizer.load_state_dict({**own, "state": states})


def network_parameters(model: PyNeRF) -> list[torch.nn.Parameter]:
    """The weights of the heads, the colour networks and the proposal network."""
    proposals = () if model.proposals is None else model.proposals.network.parameters()
    return [*model.field.heads.parameters(), *model.field.color_heads.parameters(), *proposals]


def encoders(model: PyNeRF) -> list[PyramidEncoder]:
    """The hash grids of the field, and that of the proposal network if there is one."""
    found = []
    for encoder in model.field.encoders:
        assert isinstance(encoder, PyramidEncoder)
        found.append(encoder)
    return found if model.proposals is None else [*found, model.proposals.encoder]


def parameter_groups(model: PyNeRF) -> dict[str, list[torch.nn.Parameter]]:
    """{"tables": …, "networks": …}: the parameters of each optimizer."""
    return {
        "tables": [encoder.table for encoder in encoders(model)],
        "networks": network_parameters(model),
    }


def gather_in_place(model: PyNeRF) -> None:
    """Let backward passes add the tables' gradients into `table.grad` in place from now on.

    Otherwise each pass would allocate a buffer as large as the table. `TableRMSProp` leaves these
    buffers at zero. `torch.autograd.grad` finds no gradient of the tables afterwards.
    """
    for encoder in encoders(model):
        encoder.accumulate_in_place = True


def build_optimizers(model: PyNeRF, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
    """{"tables": TableRMSProp, "networks": Adam}. Calls `gather_in_place`, too."""
    gather_in_place(model)
    groups = parameter_groups(model)
    return {
        "tables": TableRMSProp(groups["tables"], learning_rate),
        "networks": torch.optim.Adam(
            groups["networks"], lr=learning_rate, betas=BETAS, eps=EPS, fused=True
        ),
    }
