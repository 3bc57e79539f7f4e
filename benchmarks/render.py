"""A frame at full size: samples packed for torch's networks, or all in one kernel."""

from __future__ import annotations

from benchmarks.harness import Options, Report, rows_of, time_calls
from benchmarks.workload import workload
from taichi_pynerf.evaluation import render_view
from taichi_pynerf.fused_renderer import reason_against_fusing

PACKED, FUSED = "packed samples, torch's networks", "one kernel"


def measure(options: Options) -> Report:
    work = workload(options)
    model, test = work.model.eval(), work.test
    renderer, view = model.renderer, len(test) // 2
    before = renderer.fused

    def frame(fused):
        renderer.fused = fused
        return render_view(model, test, view)["rgb"]

    renderer.fused = None
    calls = {PACKED: lambda: frame(None)}
    if reason_against_fusing(model.config) is None:
        renderer.fuse()
        one_kernel = renderer.fused
        calls[FUSED] = lambda: frame(one_kernel)
    images = [call() for call in calls.values()]
    found = time_calls(calls, options.rounds(5), warm_up=0)
    renderer.fused = before
    height, width = images[0].shape[:2]
    report = Report(f"{width} x {height} pixels, view {view} of the {test.split} images")
    report.tables["a frame"] = rows_of(found, PACKED)
    report.findings["seconds a frame, the faster way"] = (
        min(timing.median for timing in found.values()) / 1e3
    )
    if len(images) > 1:
        difference = float((images[0] - images[1]).abs().max())
        report.findings["greatest difference of a pixel"] = difference
    return report
