"""One optimizer step of the feature table, for several shares of rows that got a gradient."""

from __future__ import annotations

from benchmarks.harness import Case, Options, Report, require_equal, rows_of, time_calls
from benchmarks.workload import grid_spec
from taichi_pynerf import runtime
from taichi_pynerf.ops.rmsprop import sparse_rmsprop
from taichi_pynerf.reference import rmsprop as reference

import torch  # isort: skip  (after the package, which sets the thread policy)

OURS, TWIN, ADAM = "RMSProp, touched rows", "plain torch twin", "torch's fused Adam, all rows"
SETTINGS = {"lr": 1e-2, "beta": 0.99, "eps": 1e-15}


def measure(options: Options) -> Report:
    spec = grid_spec("8 levels x 4", options.quick)
    shape = (spec.num_entries, spec.features_per_level)
    report = Report(f"a table of {shape[0]} rows of {shape[1]}")
    for share in (0.01, 0.1, 1.0):
        found = time_calls(cases(shape, share), options.rounds(9))
        report.tables[f"{share:.0%} of the rows touched"] = rows_of(found, ADAM)
        report.findings[f"{share:.0%} touched: Adam / ours"] = (
            found[ADAM].median / found[OURS].median
        )
    return report


def cases(shape: tuple[int, int], share: float) -> dict[str, Case]:
    """The three ways to take the same step; ours and the twin compared first."""
    generator = torch.Generator().manual_seed(0)
    device = runtime.torch_device()
    given = torch.randn(shape, generator=generator)
    given[torch.rand(shape[0], generator=generator) >= share] = 0
    given = given.to(device)
    tables = {name: torch.ones(shape, device=device) for name in (OURS, TWIN, ADAM)}
    states = {
        name: (torch.zeros(shape, device=device), torch.zeros(shape[0], device=device))
        for name in (OURS, TWIN)
    }
    grads = {name: given.clone() for name in tables}
    adam = torch.optim.Adam([tables[ADAM]], lr=SETTINGS["lr"], betas=(0.9, 0.99), fused=True)
    tables[ADAM].grad = grads[ADAM]
    steps = {OURS: sparse_rmsprop, TWIN: reference.sparse_rmsprop}

    def step(name):
        return lambda: steps[name](tables[name], grads[name], *states[name], **SETTINGS)

    for name in steps:
        step(name)()
    require_equal("the stepped table", tables[OURS], tables[TWIN], 1e-5)
    built = {
        name: Case(step(name), lambda n=name: grads[n].copy_(given)) for name in steps
    }  # the step leaves the gradient zero
    return {**built, ADAM: Case(adam.step)}
