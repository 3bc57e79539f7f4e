"""One training step: its parts and kernels, and a step of equal samples beside nerfacto's field.

A step of ours is all of it: marching, field, loss, gradients and optimizers. nerfacto's is the
field, its gradient and its optimizer, on samples that are handed to it.
"""

from __future__ import annotations

import copy

from benchmarks.harness import Options, Report, rows_of, time_calls
from benchmarks.peers import NerfactoStep, have_nerfstudio
from benchmarks.stopwatch import Stopwatch, kernel_times
from benchmarks.workload import Workload, workload
from taichi_pynerf import runtime
from taichi_pynerf.model import renderer as renderers

import torch  # isort: skip  (after the package, which sets the thread policy)

SIZES = (12_288, 36_864)  # samples: trained on in a step of the CPU's preset; marched in it
OURS = "pyramid, every sample trained"
CULLED = "pyramid, samples culled and thinned"
NERFACTO = "nerfacto's field, torch"


def measure(options: Options) -> Report:
    work = workload(options)
    report = Report(f"{work.trainer.config.samples_per_batch} samples a step")
    add_parts(report, work, options.size(48, 2))
    for size in (options.size(size, size // 24) for size in SIZES):
        compare(report, work, size, options)
    return report


def add_parts(report: Report, work: Workload, num_steps: int) -> None:
    """Tables of the step's parts and of its kernels, in milliseconds a step."""
    trainer, renderer = work.trainer, work.model.renderer
    parts = {
        "update of the occupancy grid": (renderer, "update_occupancy"),
        "drawing pixels": (trainer.train_dataset, "sample"),
        "marching": (renderer, "_march"),
        "positions and levels": (renderer, "_place"),
        "finding hidden samples": (renderers, "samples_to_train"),
        "field": (renderer, "_ask"),
        "recording levels": (work.model.trained_levels, "record"),
        "backward": (torch.Tensor, "backward"),
        "optimizer of the table": (trainer.optimizers["tables"], "step"),
        "optimizer of the networks": (trainer.optimizers["networks"], "step"),
    }
    watch, whole = Stopwatch(), Stopwatch()
    step = whole.timed(trainer.train_step, "step")
    with watch.watching(parts):
        for _ in range(num_steps):
            figures = step()
    total = 1e3 * whole.seconds["step"] / num_steps
    rows = [{"part": name, "ms a step": 1e3 * seconds / num_steps,
             "share %": 100 * 1e3 * seconds / num_steps / total}
            for name, seconds in watch.seconds.items()]  # fmt: skip
    rest = total - sum(row["ms a step"] for row in rows)
    rows += [{"part": "the rest", "ms a step": rest, "share %": 100 * rest / total},
             {"part": "all", "ms a step": total, "share %": 100.0}]  # fmt: skip
    report.tables["parts of a step"] = rows
    with kernel_times() as kernels:
        for _ in range(num_steps):
            trainer.train_step()
    ranked = sorted(kernels.seconds.items(), key=lambda item: -item[1])
    report.tables["Taichi kernels"] = [
        {"kernel": name, "ms a step": 1e3 * seconds / num_steps,
         "launches a step": kernels.calls[name] / num_steps}
        for name, seconds in ranked
    ]  # fmt: skip
    report.findings["ms a step"] = total
    report.findings["samples trained on a second"] = 1e3 * figures["num_samples"] / total
    report.findings["Taichi launches a step"] = sum(kernels.calls.values()) / num_steps


def compare(report: Report, work: Workload, size: int, options: Options) -> None:
    """Add the table of one step on about `size` marched samples, of each implementation."""
    rays, render = work.samples(size)
    num_samples = len(render.levels)
    target = torch.rand(len(rays), 3, generator=torch.Generator().manual_seed(2))
    target = target.to(rays.rays_o.device)
    state = copy.deepcopy(work.model.state_dict())

    def step(renderer):
        generator = torch.Generator(rays.rays_o.device).manual_seed(0)
        out = renderer.train_rays(rays, generator)
        (out.rgb - target).square().mean().backward()
        for optimizer in work.trainer.optimizers.values():
            optimizer.step()
        work.trainer.optimizers["networks"].zero_grad(set_to_none=True)

    for group in (g for o in work.trainer.optimizers.values() for g in o.param_groups):
        group["lr"] = 0.0  # the scene stays as it is: every round has the same samples
    every, culled = work.renderer(cull_hidden=0.0, thin_below=0.0), work.renderer()
    calls = {OURS: lambda: step(every), CULLED: lambda: step(culled)}
    base = None
    if have_nerfstudio() and runtime.on_cpu():
        base = NERFACTO
        box = torch.tensor(work.model.config.aabb).view(2, 3)
        peer = NerfactoStep(box, len(work.trainer.train_dataset))
        given = peer.samples_of(rays, render)
        calls[base] = lambda: peer(given, render.samples, target)
    found = time_calls(calls, options.rounds(7))
    work.model.load_state_dict(state)
    report.tables[f"one step, {len(rays)} rays, {num_samples} samples"] = rows_of(found, base)
    if base is not None:
        for name in (OURS, CULLED):
            ratio = found[base].median / found[name].median
            report.findings[f"{num_samples} samples: {base} / {name}"] = ratio
