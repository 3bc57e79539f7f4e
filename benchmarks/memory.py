"""Memory of a training and of a frame: the peak of the process, and its largest parts.

It is measured in a separate process.
"""

from __future__ import annotations

import json
import resource
import sys

from benchmarks.children import child_options, run_child
from benchmarks.harness import Options, Report
from benchmarks.workload import workload
from taichi_pynerf import runtime
from taichi_pynerf.evaluation.evaluation import render_view

import torch  # isort: skip  (after the package, which sets the thread policy)

MIB = 2**20


def measure(options: Options) -> Report:
    found = run_child("memory", options)
    report = Report("MiB, of a process that trains and renders a frame")
    report.tables["memory"] = [{"what": name, "MiB": value} for name, value in found.items()]
    report.findings["peak MiB of the process"] = found["peak after a frame"]
    return report


def peak_mib() -> float:
    """The greatest resident size of this process so far (ru_maxrss; bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def tensor_mib(tensors) -> float:
    return sum(t.numel() * t.element_size() for t in tensors) / MIB


def measure_here(options: Options) -> dict[str, float]:
    """{what: MiB}, in a fresh process."""
    runtime.start("cpu")
    found = {"peak after the imports": peak_mib()}
    work = workload(options)
    found["peak after training"] = peak_mib()
    model, trainer = work.model, work.trainer
    render_view(model.eval(), work.test, 0)
    found["peak after a frame"] = peak_mib()
    parameters = list(model.parameters())
    states = [state for o in trainer.optimizers.values() for state in o.state.values()]
    moments = [v for state in states for v in state.values() if torch.is_tensor(v)]
    found["parameters"] = tensor_mib(parameters)
    found["their gradients"] = tensor_mib(p.grad for p in parameters if p.grad is not None)
    found["optimizers' moments"] = tensor_mib(moments)
    found["grids of cells"] = tensor_mib(model.buffers())
    return found


if __name__ == "__main__":
    print(json.dumps(measure_here(child_options())))
