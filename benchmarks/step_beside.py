"""Steps and frames beside those of another checkout, in turn, from the same trained weights.

Each checkout runs in its own program, and only one of them works at a time. A turn is sixteen
training steps or one frame; the medians of the turns are compared. An older checkout that does not
know all settings of the run gets one of its own, on the same images: then the samples of a step are
as many, but the weights differ.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from benchmarks.harness import Options, Report, timing
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.runs.checkpoint import checkpoint_path
from taichi_pynerf.runs.runs import open_run

ROOT = Path(__file__).parents[1]
CASES = {
    "a step of 12,000 samples": {"samples_per_batch": 12_288},
    "a step of 34,000 samples": {"samples_per_batch": 34_816},
    "a step of eight rays": {"samples_per_batch": 0, "batch_size": 8},
    "a frame": None,
}
OURS, OTHER = "this checkout", "the other"


class Program:
    """`beside_child` at work with the package of one checkout."""

    def __init__(self, root: Path, settings: dict):
        command = [sys.executable, str(ROOT / "benchmarks" / "beside_child.py")]
        self._process = subprocess.Popen(
            [*command, json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip

    def ask(self, name: str) -> dict:
        """The result of one turn of a case. Raises RuntimeError if the program has ended."""
        try:
            self._process.stdin.write(json.dumps({"name": name, "changes": CASES[name]}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it says why itself
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args[1]} ended: see what it wrote above")
        return json.loads(line)

    def end(self) -> None:
        """Let it end, if it has not."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@contextlib.contextmanager
def programs(roots: dict[str, Path], settings: dict[str, dict]) -> Iterator[dict[str, Program]]:
    """One program per checkout, with its settings, ended with the block."""
    with contextlib.ExitStack() as stack:
        started = {}
        for name, root in roots.items():
            started[name] = Program(root, settings[name])
            stack.callback(started[name].end)
        yield started


def measure(options: Options) -> Report:
    if options.other is None or options.checkpoint is None:
        raise ConfigError(
            "step_beside compares two checkouts on a trained run: name them with --other and "
            "--checkpoint"
        )
    other = Path(options.other).resolve()
    if not (other / "taichi_pynerf" / "__init__.py").is_file():
        raise ConfigError(f"--other {options.other}: there is no taichi_pynerf in this folder")
    others = None if options.other_checkpoint is None else checkpoint_path(options.other_checkpoint)
    if others is not None and not others.is_file():
        raise ConfigError(f"--other_checkpoint {options.other_checkpoint}: there is no checkpoint")
    run = open_run(options.checkpoint, options.data_dir)
    checkpoints = {OURS: run.checkpoint, OTHER: others or run.checkpoint}
    scene = {
        "data_dir": str(Path(run.source.data_dir).resolve()),
        "img_downscale": run.source.img_downscale,
    }
    settings = {
        name: {"checkpoint": str(path.resolve()), **scene} for name, path in checkpoints.items()
    }
    report = Report(f"{run.name}, medians of {options.rounds(7)} turns")
    with programs({OURS: ROOT, OTHER: other}, settings) as both:
        for case in CASES:
            add_case(report, case, both, options.rounds(7))
    return report


def add_case(report: Report, case: str, both: dict[str, Program], rounds: int) -> None:
    """Add a case's table and the share of the other's time."""
    found: dict[str, list[dict]] = {name: [] for name in both}
    for number in tqdm(range(1 + rounds), desc=case, unit="turn"):
        for name, program in both.items():
            turn = program.ask(case)
            if number:  # the first one is not counted
                found[name].append(turn)
    rows = []
    for name, turns in found.items():
        times = timing([turn["ms"] for turn in turns])
        rest = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        rest.pop("ms")
        rows.append({"what": name, "median ms": times.median, "min ms": times.least,
                     "max ms": times.greatest, **rest})  # fmt: skip
    report.tables[case] = rows
    for column, what in (("median ms", "time"), ("processor ms", "processor time")):
        report.findings[f"{case}: share of the other's {what}"] = rows[0][column] / rows[1][column]
