"""Hash-grid encoding, forward and backward, beside plain torch and nerfstudio's torch.

All encode the same points with the same table; values and gradients are compared first.
"""

from __future__ import annotations

from benchmarks.harness import Options, Report, require_equal, rows_of, time_calls
from benchmarks.peers import NerfstudioEncoding, have_nerfstudio
from benchmarks.workload import GRIDS, grid_spec, workload
from taichi_pynerf import runtime
from taichi_pynerf.ops.hash_grid import hash_encode
from taichi_pynerf.reference import hash_grid as reference

import torch  # isort: skip  (after the package, which sets the thread policy)

NUM_POINTS = 131_072
OURS, AUTODIFF, TWIN = "taichi_pynerf", "its Taichi autodiff", "plain torch twin"
NERFSTUDIO = "nerfstudio, torch"
TOLERANCE = 1e-4


def measure(options: Options) -> Report:
    num_points = options.size(NUM_POINTS, 512)
    generator = torch.Generator().manual_seed(0)
    device = runtime.torch_device()
    _, render = workload(options).samples(num_points)
    points = {
        "random points": torch.rand(num_points, 3, generator=generator).to(device),
        "samples of real rays": render.positions[:num_points],
    }
    report = Report(f"{num_points} points, table of {grid_spec(next(iter(GRIDS))).hash_table_size}")
    for grid in list(GRIDS)[: options.size(len(GRIDS), 1)]:
        for where, positions in points.items():
            compare(report, grid, where, positions, options)
    return report


def compare(report: Report, grid: str, where: str, positions: torch.Tensor, options: Options):
    """Add one table: forward alone, and forward with backward, of every implementation."""
    spec = grid_spec(grid, options.quick)
    generator = torch.Generator().manual_seed(1)
    peer = NerfstudioEncoding(spec) if have_nerfstudio() and runtime.on_cpu() else None
    values = torch.rand(spec.num_entries, spec.features_per_level, generator=generator)
    table = (values if peer is None else peer.table).to(positions.device).requires_grad_()
    cotangents = torch.rand(len(positions), spec.num_features, generator=generator)
    cotangents = cotangents.to(positions.device)

    encoders = {OURS: lambda: hash_encode(positions, table, spec)}
    if runtime.shares_memory():
        encoders[AUTODIFF] = lambda: hash_encode(positions, table, spec, use_autodiff=True)
    encoders[TWIN] = lambda: reference.hash_encode(positions, table, spec)
    leaves = dict.fromkeys(encoders, table)
    if peer is not None:
        encoders[NERFSTUDIO] = lambda: peer.encoding(positions)
        leaves[NERFSTUDIO] = peer.encoding.hash_table

    def backward(name):
        return torch.autograd.grad(encoders[name](), leaves[name], cotangents)[0]

    ours, gradient = encoders[OURS](), backward(OURS)
    for name, encode in encoders.items():
        require_equal(f"features of {name}", ours, encode(), TOLERANCE)
        own = peer.fold(gradient) if name == NERFSTUDIO else gradient
        require_equal(f"gradient of {name}", own, backward(name), TOLERANCE)

    def forward(name):
        with torch.no_grad():
            encoders[name]()

    rounds = options.rounds(5)
    base = NERFSTUDIO if peer is not None else TWIN
    for what, call in (("forward", forward), ("forward and backward", backward)):
        calls = {name: lambda n=name, c=call: c(n) for name in encoders}
        found = time_calls(calls, rounds, warm_up=0)  # comparing them has warmed all up
        heading = f"{grid}, {where}, {what}, against {base}"
        report.tables[heading] = rows_of(found, base)
        if call is backward:
            ratio = found[base].median / found[OURS].median
            report.findings[f"{grid}, {where}: {base} / {OURS}"] = ratio
