"""Compositing packed samples, forward and backward, beside Taichi's autodiff and a torch twin."""

from __future__ import annotations

from benchmarks.harness import Options, Report, require_equal, rows_of, time_calls
from benchmarks.workload import workload
from taichi_pynerf import runtime
from taichi_pynerf.ops.compositing import composite
from taichi_pynerf.reference import compositing as reference


def measure(options: Options) -> Report:
    rays, render = workload(options).samples(options.size(65_536, 512))
    samples = render.samples
    sigmas = render.field.sigmas.detach().requires_grad_()
    rgbs = render.field.rgbs.detach().requires_grad_()
    borders = (samples.t_starts, samples.t_ends, samples.packed_info)

    def run(op, **how):
        out = op(sigmas, rgbs, *borders, 1e-5, **how)
        sigmas.grad = rgbs.grad = None
        (out.rgb.square().sum() + out.acc.sum()).backward()
        return out

    calls = {"taichi_pynerf": lambda: run(composite)}
    if runtime.shares_memory():
        calls["its Taichi autodiff"] = lambda: run(composite, use_autodiff=True)
    calls["plain torch twin"] = lambda: run(reference.composite)
    results = {name: (call().rgb, sigmas.grad, rgbs.grad) for name, call in calls.items()}
    for name, values in results.items():
        for part, own, ours in zip(
            ("pixels", "gradient of sigmas", "gradient of rgbs"), values,
            results["taichi_pynerf"], strict=True,
        ):  # fmt: skip
            require_equal(f"{part} of {name}", ours, own, 1e-3)
    found = time_calls(calls, options.rounds(7))
    report = Report(f"{len(rays)} rays, {len(sigmas)} samples, forward and backward")
    report.tables["all rays"] = rows_of(found, "plain torch twin")
    report.findings["million samples a second"] = len(sigmas) / found["taichi_pynerf"].median / 1e3
    return report
