"""A frame at full size: samples packed for torch's networks, or all in one kernel."""

from __future__ import annotations

import functools

from benchmarks.harness import Options, Report, rows_of, time_calls
from benchmarks.workload import workload
from taichi_pynerf.evaluation.evaluation import render_view
from taichi_pynerf.model.fused_renderer import reason_against_fusing
from taichi_pynerf.model.renderer import PyramidRenderer

PACKED, FUSED = "packed samples, torch's networks", "one kernel"


def measure(options: Options) -> Report:
    work = workload(options)
    model, test = work.model.eval(), work.test
    own, view = model.renderer, len(test) // 2
    parts = (model.config, model.field, model.occupancy, model.trained_levels)
    renderers = {PACKED: PyramidRenderer(*parts, fused=False)}
    if reason_against_fusing(model.config) is None:
        renderers[FUSED] = PyramidRenderer(*parts, fused=True)

    def frame(renderer):
        model.renderer = renderer
        return render_view(model, test, view)["rgb"]

    calls = {name: functools.partial(frame, renderer) for name, renderer in renderers.items()}
    images = [call() for call in calls.values()]
    found = time_calls(calls, options.rounds(5), warm_up=0)
    model.renderer = own
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
