"""Marching rays through the occupancy grid, beside its plain torch twin."""

from __future__ import annotations

from benchmarks.harness import Options, Report, require_equal, rows_of, time_calls
from benchmarks.workload import workload
from taichi_pynerf.ops.ray_march import march_rays
from taichi_pynerf.reference import ray_march as reference

import torch  # isort: skip  (after the package, which sets the thread policy)


def measure(options: Options) -> Report:
    work = workload(options)
    rays, renderer = work.rays(options.size(8192, 64)), work.model.renderer
    box, occupancy = renderer.box, work.model.occupancy
    arguments = (
        box.to_unit(rays.rays_o),
        box.direction_to_unit(rays.rays_d),
        torch.full((len(rays),), 0.5, device=work.model.device),
        box.clip(rays.rays_o, rays.rays_d, rays.bounds),
        occupancy.occupied,
        renderer.step_size,
        renderer.cone_angle,
    )
    calls = {
        "taichi_pynerf": lambda: march_rays(*arguments, blocks=occupancy.blocks)[0],
        "without blocks": lambda: march_rays(*arguments)[0],
        "plain torch twin": lambda: reference.march_rays(*arguments)[0],
    }
    ours, plain, twin = (call() for call in calls.values())
    require_equal("samples with and without blocks", ours.t_starts, plain.t_starts, 0.0)
    # A step within rounding of a cell's border may fall on either side of it.
    kept = min(len(ours.t_starts), len(twin.t_starts)) / max(len(ours.t_starts), 1)
    if not kept > 0.99:
        raise RuntimeError(f"the twin keeps {len(twin.t_starts)} of {len(ours.t_starts)} samples")
    found = time_calls(calls, options.rounds(9))
    report = Report(f"{len(rays)} rays, {len(ours.t_starts)} samples in occupied cells")
    report.tables["all rays to their ends"] = rows_of(found, "plain torch twin")
    ms = found["taichi_pynerf"].median
    report.findings["million rays a second"] = len(rays) / ms / 1e3
    report.findings["million samples a second"] = len(ours.t_starts) / ms / 1e3
    return report
