"""The harness of all benchmarks: calls in turn, medians, and a description of the machine."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np
import taichi as ti

import taichi_pynerf
from taichi_pynerf import runtime
from taichi_pynerf.runtime import hardware

import torch  # isort: skip  (after the package, which sets the thread policy)

PACKAGES = ("torch", "taichi", "numpy", "nerfstudio", "nerfacc", "tinycudann")


@dataclass(frozen=True)
class Options:
    """The options of the command line.

    Attributes:
        quick: sizes so small that a benchmark ends within seconds; its figures are meaningless.
        repeats: rounds that are counted; 0: the benchmark's own number.
        data_dir: a scene folder; None: the built-in demo scene.
        img_downscale: reduce the scene's images by this factor.
        checkpoint: a trained run; None: train a little first.
        seconds: seconds of training, for time to quality.
        peer: a script to run beside time to quality, with its arguments.
        other: another checkout of this project, for `step_beside`.
        other_checkpoint: a run of its own, if it cannot read `checkpoint`.
    """

    quick: bool = False
    repeats: int = 0
    data_dir: str | None = None
    img_downscale: int = 1
    checkpoint: str | None = None
    seconds: float = 300.0
    peer: str | None = None
    other: str | None = None
    other_checkpoint: str | None = None

    def rounds(self, usual: int) -> int:
        """Number of rounds to count."""
        return self.repeats or (1 if self.quick else usual)

    def size(self, usual: int, quick: int) -> int:
        """A size, depending on `quick`."""
        return quick if self.quick else usual


class Timing(NamedTuple):
    """Milliseconds of a call over several rounds."""

    median: float
    least: float
    greatest: float


@dataclass
class Report:
    """The results of a benchmark.

    Attributes:
        title: one line, with the sizes that were measured.
        tables: {heading: rows}; a row is {column: number or text}.
        findings: {name: number}: ratios and slopes that support a claim.
    """

    title: str
    tables: dict[str, list[dict]] = field(default_factory=dict)
    findings: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict:
        return {"title": self.title, "tables": self.tables, "findings": self.findings}

    def text(self, markdown: bool = False) -> str:
        """The tables for a terminal, or as Markdown."""
        gap, bullet = ("\n\n", "- ") if markdown else ("\n", "")
        parts = [self.title]
        for heading, rows in self.tables.items():
            parts += [("### " if markdown else "") + heading, table_text(rows, markdown)]
        if self.findings:
            lines = (f"{bullet}{name}: {_cell(value)}" for name, value in self.findings.items())
            parts.append("\n".join(lines))
        return gap.join(parts)


class Case(NamedTuple):
    """A call to measure, and a preparation before each call that is not counted."""

    run: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


def time_calls(cases: Mapping[str, Callable | Case], rounds: int, warm_up: int = 1):
    """{name: Timing} of calls, made in turn so that drifts of the machine's speed affect all alike.

    The first `warm_up` rounds, in which kernels are compiled and memory is touched, do not count.
    """
    cases = {name: case if isinstance(case, Case) else Case(case) for name, case in cases.items()}
    times: dict[str, list[float]] = {name: [] for name in cases}
    gc.collect()
    gc.disable()
    try:
        for number in range(warm_up + rounds):
            for name, case in cases.items():
                case.prepare()
                synchronize()
                started = time.perf_counter()
                case.run()
                synchronize()
                if number >= warm_up:
                    times[name].append(1e3 * (time.perf_counter() - started))
    finally:
        gc.enable()
    return {name: timing(values) for name, values in times.items()}


def timing(milliseconds: Sequence[float]) -> Timing:
    return Timing(statistics.median(milliseconds), min(milliseconds), max(milliseconds))


def synchronize() -> None:
    """Wait for the device; on a processor there is nothing to wait for."""
    if not runtime.on_cpu():
        ti.sync()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def rows_of(timings: Mapping[str, Timing], base: str | None = None, **columns) -> list[dict]:
    """Rows of a table: each call's median, least and greatest time, and its speed against `base`.

    Args:
        columns: {column: {name of a call: value}} in front of the times.
    """
    rows = []
    for name, found in timings.items():
        row = {"what": name, **{key: values[name] for key, values in columns.items()}}
        row |= {"median ms": found.median, "min ms": found.least, "max ms": found.greatest}
        if base is not None:
            row["times as fast"] = timings[base].median / found.median
        rows.append(row)
    return rows


def require_equal(what: str, ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> None:
    """Refuse to time two implementations that give different results.

    Raises:
        RuntimeError: they differ by more than `tolerance` of the greatest value.
    """
    ours, theirs = ours.detach(), theirs.detach()
    scale = float(theirs.abs().max().clamp_min(1e-30))
    error = float((ours - theirs).abs().max()) / scale
    if not error <= tolerance:
        raise RuntimeError(f"{what}: the implementations differ by {error:.1e} of the greatest")


def log_log_slope(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The exponent of `time ~ size^exponent`, by least squares."""
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(times, float))
    return float(np.polyfit(x, y, 1)[0])


def machine() -> dict:
    """The machine: processor or device, threads, versions."""
    versions = {"python": platform.python_version(), "taichi_pynerf": taichi_pynerf.__version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    memory = hardware.memory_bytes()
    return {
        "device": runtime.device_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": hardware.available_cpus(),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": round(memory / 2**30, 1) if memory else None,
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": versions,
    }


def table_text(rows: Sequence[dict], markdown: bool = False) -> str:
    """Rows with the same columns, aligned, or as a Markdown table."""
    columns = list(rows[0])
    cells = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    if markdown:
        rule = ["---"] * len(columns)
        return "\n".join("| " + " | ".join(line) + " |" for line in [cells[0], rule, *cells[1:]])
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    left = [all(isinstance(row[column], str) for row in rows) for column in columns]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in cells
    )


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    return "" if value is None else str(value)
