"""Growth of the cost with points, levels, table size, samples, image size and threads.

The slope is that of the logarithm of the time over the logarithm of the size; 1 is proportional.
"""

from __future__ import annotations

import json
import os
from itertools import pairwise
from statistics import median

from benchmarks.children import child_options, run_child
from benchmarks.harness import Options, Report, log_log_slope, time_calls
from benchmarks.workload import Workload, workload
from taichi_pynerf import runtime
from taichi_pynerf.model.images import render_image
from taichi_pynerf.ops.hash_grid import HashGridSpec, hash_encode

import torch  # isort: skip  (after the package, which sets the thread policy)

POINTS, LEVELS, TABLES = (2**14, 2**15, 2**16, 2**17, 2**18), (4, 8, 16), (15, 17, 19, 21)
SAMPLES = (4096, 8192, 16_384, 32_768, 65_536, 131_072)
LARGE = 65_536  # samples
PROCESSES = 3  # for each number of threads; the medians of their medians count
QUICK_SHARE = 128  # of points and samples


def measure(options: Options) -> Report:
    work = workload(options)
    share = QUICK_SHARE if options.quick else 1
    report = Report("milliseconds, medians")
    points = [n // share for n in POINTS]
    add(report, "encode, points", points, [encode_case(n) for n in points], options)
    default = points[-2]
    add(report, "encode, grid levels", LEVELS, [encode_case(default, L) for L in LEVELS], options)
    tables = [2**k for k in TABLES]
    cases = [encode_case(default, size=size) for size in tables]
    add(report, "encode, table entries a level", tables, cases, options)
    rays = [sized_rays(work, n // share) for n in SAMPLES]
    counts = [count for _, count in rays]
    add(report, "training step, samples", counts, [step_case(work, r) for r, _ in rays], options)
    sizes, frames = zip(*(frame_case(work, k) for k in (8, 4, 2, 1)), strict=True)
    add(report, "frame, pixels", sizes, frames, options, usual_rounds=3)
    if hasattr(os, "sched_setaffinity") and runtime.on_cpu():
        add_threads(report, options)
    return report


def add(report, what, sizes, cases, options: Options, usual_rounds: int = 5) -> None:
    """Add a table of times over sizes, and their slope."""
    found = time_calls({str(i): case for i, case in enumerate(cases)}, options.rounds(usual_rounds))
    medians = [timing.median for timing in found.values()]
    report.tables[what] = [
        {"size": size, "median ms": timing.median, "min ms": timing.least,
         "max ms": timing.greatest, "ns a unit": 1e6 * timing.median / size}
        for size, timing in zip(sizes, found.values(), strict=True)
    ]  # fmt: skip
    report.findings[f"slope: {what}"] = log_log_slope(sizes, medians)


def encode_case(num_points: int, num_levels: int = 8, size: int = 2**19):
    """Encoding forward and backward."""
    generator = torch.Generator().manual_seed(0)
    growth = 128 ** (1 / (num_levels - 1))
    resolutions = tuple(int(16 * growth**l + 1e-6) for l in range(num_levels))
    spec = HashGridSpec(resolutions, 4, size)
    device = runtime.torch_device()
    positions = torch.rand(num_points, 3, generator=generator).to(device)
    table = torch.rand(spec.num_entries, 4, generator=generator).to(device).requires_grad_()
    table_grad = torch.zeros_like(table)
    cotangents = torch.rand(num_points, spec.num_features, generator=generator).to(device)
    return lambda: hash_encode(positions, table, spec, accumulate_into=table_grad).backward(
        cotangents
    )


def sized_rays(work: Workload, num_samples: int):
    """Rays with about so many samples, and how many samples they have."""
    rays, render = work.samples(num_samples)
    return rays, len(render.levels)


def step_case(work: Workload, rays):
    """March, field and gradients of these rays, no sample culled."""
    renderer = work.renderer(cull_hidden=0.0, thin_below=0.0)

    def step():
        generator = torch.Generator(work.model.device).manual_seed(0)
        renderer.train_rays(rays, generator).rgb.square().mean().backward()
        work.trainer.optimizers["tables"].zero_grad()

    return step


def frame_case(work: Workload, downscale: int):
    """How many pixels, and the call that renders them."""
    test = work.test
    camera = test.cameras.select([0])
    camera = camera.resized(camera.width // downscale, camera.height // downscale)
    model = work.model.eval()
    pixels = int(camera.width[0] * camera.height[0])
    return pixels, lambda: render_image(model, camera, 0, test.near, test.far)


# ---- threads, each number of them in a process of its own ----------------------------------


def add_threads(report: Report, options: Options) -> None:
    available = len(os.sched_getaffinity(0))
    counts = [n for n in (1, 2, 4, 8, 16, 32) if n <= available]
    runs = {n: [] for n in counts}
    for _ in range(1 if options.quick else PROCESSES):
        for n, found_by in runs.items():  # in turn: a machine's pace drifts
            found_by.append(run_child("scaling", options, n))
    found = {
        n: {name: median(run[name] for run in found_by) for name in found_by[0]}
        for n, found_by in runs.items()
    }
    report.tables["threads"] = [
        {"threads": n, **{f"{name}, ms": ms for name, ms in times.items()}}
        for n, times in found.items()
    ]
    for fewer, more in pairwise(counts):
        for name in found[fewer]:
            ratio = found[fewer][name] / found[more][name]
            report.findings[f"{fewer} -> {more} threads, {name}: times as fast"] = ratio


def measure_here(options: Options) -> dict[str, float]:
    """{what: ms} with the processors of this process."""
    runtime.start("cpu")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    work = workload(options)
    num_large = options.size(LARGE, LARGE // QUICK_SHARE)
    large, _ = sized_rays(work, num_large)
    cases = {
        "encode": encode_case(options.size(2**17, 512)),
        "training step": work.trainer.train_step,
        f"gradients of {num_large} samples": step_case(work, large),
        "frame": frame_case(work, 1)[1],
    }
    found = time_calls(cases, options.rounds(9), warm_up=2)
    return {name: timing.median for name, timing in found.items()}


if __name__ == "__main__":
    print(json.dumps(measure_here(child_options())))
