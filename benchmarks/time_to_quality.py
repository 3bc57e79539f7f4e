"""PSNR on the test images over the seconds of training, and when it passes 25, 28, 30, 32 dB.

Give the scene by --data_dir and --img_downscale. With --peer another command is run before, on the
same machine, and its output is kept: `--peer "python other.py {data_dir} --time {seconds}"`.
Training pauses during tests, and their time does not count.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from benchmarks.harness import Options, Report
from benchmarks.workload import untrained
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.evaluation.evaluation import evaluate

MARKS = (25.0, 28.0, 30.0, 32.0)
SHARES = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8)  # of the seconds, at which a few images are tested
FEW = 5
_PEER_LINE = re.compile(r"t=([\d.]+)s?\b.*?psnr=([\d.]+)", re.IGNORECASE)


def measure(options: Options) -> Report:
    seconds = 2.0 if options.quick else options.seconds
    report = Report(f"{seconds:g} s of training, {scene_name(options)}")
    if options.peer is not None:
        report.tables["peer"] = run_peer(options, seconds)
    work = untrained(options, max_seconds=seconds)
    marks = [share * seconds for share in SHARES]
    every = max(1, len(work.test) // FEW)
    curve = []

    def test(trainer, images):
        psnr = evaluate(trainer.model.eval(), work.test, images)["psnr"]
        curve.append({"seconds": trainer.train_seconds, "steps": trainer.step,
                      "images": len(images), "PSNR dB": psnr})  # fmt: skip
        print(f"{trainer.train_seconds:6.1f} s, step {trainer.step}: {psnr:.2f} dB", flush=True)

    def on_step(trainer, _):
        if marks and trainer.train_seconds >= marks[0]:
            marks.pop(0)
            test(trainer, range(0, len(work.test), every))

    work.trainer.train(on_step=on_step)
    test(work.trainer, range(len(work.test)))
    report.tables["curve"] = curve
    report.findings["PSNR dB at the end, all test images"] = curve[-1]["PSNR dB"]
    for mark in MARKS:
        passed = time_to(mark, curve)
        if passed is not None:
            report.findings[f"seconds to {mark:g} dB"] = passed
    return report


def scene_name(options: Options) -> str:
    if options.data_dir is None:
        return "demo scene"
    return f"{Path(options.data_dir).name}, images 1/{options.img_downscale}"


def time_to(mark: float, curve: list[dict]) -> float | None:
    """Seconds at which the curve passes a PSNR, by straight lines; None if it does not.

    If the first point is already past it, that time is an upper bound.
    """
    if curve[0]["PSNR dB"] >= mark:
        return curve[0]["seconds"]
    for before, after in pairwise(curve):
        low, high = before["PSNR dB"], after["PSNR dB"]
        if low < mark <= high:
            share = (mark - low) / (high - low)
            return before["seconds"] + share * (after["seconds"] - before["seconds"])
    return None


def run_peer(options: Options, seconds: float) -> list[dict]:
    """Rows of the seconds and PSNR that a peer prints, as `t=60s … psnr=25.1` lines.

    Raises:
        ConfigError: the command does not run, or prints no such line.
    """
    command = options.peer.format(
        seconds=f"{seconds:g}", data_dir=options.data_dir, python=sys.executable
    )
    done = subprocess.run(shlex.split(command), capture_output=True, text=True)
    rows = [
        {"seconds": float(time), "PSNR dB": float(psnr)}
        for time, psnr in _PEER_LINE.findall(done.stdout)
    ]
    if not rows:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise ConfigError(
            f"--peer {command}: it printed no line with t= and psnr=, but: "
            f"{lines[-1] if lines else 'nothing'}"
        )
    return rows
