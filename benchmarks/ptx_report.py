"""Registers and spills of every kernel of the CUDA backend, on a machine without a card.

    python -m benchmarks.ptx_report [--arch sm_90] [--output_dir DIR]

Taichi compiles the kernels to PTX for a driver that is none (`stub_driver.c`), and NVIDIA's `ptxas`
compiles that for an architecture. The kernel of fused rendering, which runs under Vulkan alone, is
left out. Needs a C compiler and `ptxas` of the CUDA toolkit; nothing is run on a card, so this says
nothing of times.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import taichi as ti
import torch

from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.errors import BackendError
from taichi_pynerf.files import atomic_write_text, json_text
from taichi_pynerf.kernels.ray_march import ray_march_kernels
from taichi_pynerf.ops.compositing import composite, transmittance
from taichi_pynerf.ops.hash_grid import HashGridSpec, hash_encode
from taichi_pynerf.ops.lenses import undistort
from taichi_pynerf.ops.level_tiles import activate, level_tiles
from taichi_pynerf.ops.occupancy import update_density, update_level_range
from taichi_pynerf.ops.placement import interval_middles
from taichi_pynerf.ops.proposal_rounds import SmallField, proposal_rounds
from taichi_pynerf.ops.resampling import sample_pdf
from taichi_pynerf.ops.rmsprop import sparse_rmsprop
from taichi_pynerf.ops.spherical_harmonics import spherical_harmonics
from taichi_pynerf.runtime import backend

STUB = Path(__file__).with_name("stub_driver.c")
REGISTERS, MOST_THREADS = 65536, 2048  # of a multiprocessor
FEWER_THREADS = dict.fromkeys(("sm_86", "sm_87", "sm_89", "sm_120"), 1536)
BLOCK = 128  # threads of Taichi's blocks
_LAUNCH = "--launch"  # what this program tells the one that it starts

# "encode_c80_0_kernel_1_range_for": the kernel, and its parts that run on threads of their own.
_ENTRY = re.compile(r"Compiling entry function '(\w+?)_c\d+_\d+_kernel_(\d+)_(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")


def launch_all() -> None:
    """Launch every kernel once, for the stub. What they compute means nothing."""
    ti.init(arch=ti.cuda, log_level=ti.WARN, offline_cache=False)
    if ti.cfg.arch != ti.cuda:
        raise BackendError("Taichi does not take the stub for a CUDA driver")
    backend._started = "cuda"  # as `runtime.start`, but for its check of results
    points, dirs = torch.rand(64, 3), torch.rand(64, 3)
    spec = HashGridSpec((16, 64, 256), features_per_level=4, hash_table_size=2**14)
    table = torch.zeros(spec.num_entries, 4, requires_grad=True)
    hash_encode(points.requires_grad_(), table, spec).sum().backward()
    moments, weight = torch.zeros_like(table), torch.zeros(len(table))
    sparse_rmsprop(table.detach(), table.grad, moments.detach(), weight, 0.01, 0.99, 1e-15)
    spherical_harmonics(dirs)
    points = points.detach()
    packed_info = torch.tensor([[0, 32], [32, 32]], dtype=torch.int32)
    sigmas, rgbs = torch.rand(64, requires_grad=True), torch.rand(64, 3, requires_grad=True)
    t_starts, t_ends = torch.rand(64), torch.rand(64)
    composite(sigmas, rgbs, t_starts, t_ends, packed_info).rgb.sum().backward()
    transmittance(sigmas.detach(), t_starts, t_ends, packed_info)
    tiles = level_tiles(t_starts, 3, True, 32)
    codes, logits = torch.rand(len(tiles.samples), 4), torch.rand(len(tiles.samples), 3)
    activate(codes.requires_grad_(), logits, tiles, 15.0)[1].sum().backward()
    update_density(torch.zeros(512), torch.arange(64), t_starts, 0.9)
    update_level_range(torch.zeros(512), torch.zeros(512), points, t_starts)
    sample_pdf(torch.rand(8, 9), torch.rand(8, 8), torch.rand(8, 4))
    for unbounded in (False, True):
        interval_middles(points, dirs, torch.rand(64, 9), 2.0, unbounded)
        propose(points, dirs, spec, unbounded)
    undistort(t_starts, t_ends, torch.rand(1, 6), 20, 1e-5, 16.0)
    for cascades in (1, 5):
        march(cascades, points, dirs)


def propose(points: torch.Tensor, dirs: torch.Tensor, spec: HashGridSpec, unbounded: bool) -> None:
    table = torch.zeros(spec.num_entries, spec.features_per_level)
    inner, outer = torch.rand(16, spec.num_features), torch.rand(1, 16)
    common = [torch.rand(64, 2), torch.rand(64), table, inner, outer]
    proposal_rounds(
        points, dirs, *common, SmallField(spec, 16, unbounded), num_rounds=2, per_round=24,
        num_samples=16, turn=0.6, explore=0.1, size=2.0,
    )  # fmt: skip


def march(cascades: int, points: torch.Tensor, dirs: torch.Tensor) -> None:
    """Both passes; the op launches the second one only where the first one found samples."""
    kernels = ray_march_kernels(32, cascades, 8)
    grids = [torch.ones(cascades * n**3, dtype=torch.uint8) for n in (32, 4)]
    common = [torch.rand(64, 2), *grids, 0.0, 0.1]
    packed_info, t = torch.zeros(64, 2, dtype=torch.int32), torch.rand(64)
    kernels.count(points, dirs, t, *common, 16, packed_info, t.clone(), t.clone())
    ray_indices = torch.zeros(64, dtype=torch.int32)
    kernels.emit(points, dirs, *common, packed_info, t, t.clone(), t.clone(), ray_indices)


def emit_ptx(folder: Path) -> list[Path]:
    """The PTX of all kernels, as files in a folder."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BackendError("there is no C compiler to build the stub of a driver: install gcc")
    library = folder / "libcuda.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", library, STUB], check=True)
    environment = {**os.environ, "STUB_PTX": str(folder), "LD_LIBRARY_PATH": str(folder)}
    command = [sys.executable, "-m", "benchmarks.ptx_report", _LAUNCH]
    done = subprocess.run(
        command, cwd=STUB.parents[1], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise BackendError(f"Taichi could not compile the kernels for the stub: {lines[-1]}")
    return sorted(folder.glob("*.ptx"))


def usage_of(ptxas_log: str, arch: str) -> list[dict]:
    """What `ptxas -v` says of each entry function.

    Returns:
        {"kernel", "part", "registers", "stack", "spill_stores", "spill_loads", "occupancy"} each:
        bytes of a thread, and the share of a multiprocessor's threads that its registers suffice
        for, in blocks of `BLOCK`. Taichi's own functions and parts of one thread are left out. A
        kernel that was compiled for bounded and for unbounded scenes is there twice.
    """
    most = FEWER_THREADS.get(arch, MOST_THREADS)
    rows: list[dict] = []
    for entry in re.split(r"(?=ptxas info\s*: Compiling entry function)", ptxas_log):
        name, stack, used = (found.search(entry) for found in (_ENTRY, _STACK, _USED))
        if name is None or stack is None or used is None or name[3] == "serial":
            continue
        registers = int(used[1])
        of_a_block = BLOCK * -(-registers // 8) * 8  # they are handed out in eights
        threads = min(REGISTERS // of_a_block * BLOCK, most)
        rows.append(
            {
                "kernel": name[1], "part": f"{name[3]} {name[2]}", "registers": registers,
                "stack": int(stack[1]), "spill_stores": int(stack[2]),
                "spill_loads": int(stack[3]), "occupancy": round(threads / most, 3),
            }
        )  # fmt: skip
    return rows


def markdown(rows: list[dict], arch: str) -> str:
    """The table of all kernels."""
    columns = list(rows[0])
    lines = [f"# Kernels for {arch}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in sorted(rows, key=lambda row: (row["kernel"], row["part"])):
        lines.append(f"| {' | '.join(str(row[name]) for name in columns)} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> None:
    if argv == [_LAUNCH]:
        launch_all()
        return
    parser = Parser(description=__doc__)
    parser.add_argument("--arch", default="sm_86", help="for ptxas; Taichi writes PTX for sm_86")
    parser.add_argument("--output_dir", help="write ptx.json and ptx.md there")
    args = parser.parse_args(argv)
    ptxas = shutil.which("ptxas")
    if ptxas is None:
        raise BackendError("there is no ptxas: install NVIDIA's CUDA toolkit, and put it on PATH")
    with tempfile.TemporaryDirectory() as name:
        folder, rows = Path(name), []
        for path in emit_ptx(folder):
            command = [ptxas, "-v", f"-arch={args.arch}", path, "-o", folder / "code"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise BackendError(f"ptxas refuses {path.name}: {done.stderr.splitlines()[0]}")
            rows += usage_of(done.stderr, args.arch)
    if not rows:
        raise BackendError("ptxas names no kernel of ours")
    table = markdown(rows, args.arch)
    print(table, end="")
    if args.output_dir is not None:
        out = Path(args.output_dir)
        out.mkdir(parents=True, exist_ok=True)
        atomic_write_text(out / "ptx.md", table)
        atomic_write_text(out / "ptx.json", json_text(rows, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
