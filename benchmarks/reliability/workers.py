"""torchrun: a worker that is killed ends the others with words, and the run is resumed.

It is resumed by two workers and by one: a checkpoint does not depend on their number.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import ROOT, Forked
from taichi_pynerf.apps import train

MOST_SECONDS = 30.0
STEPS = 10**6  # without end: it is killed


def campaign(options: Options, outcome: Outcome) -> None:
    rng = random.Random(options.seed)
    scene = small_run.make_scene(options.folder / "scene")
    for number in range(options.size(4, 1)):
        killed(outcome, options.folder, scene, f"run{number}", number % 2, rng)


def torchrun(argv: list[str], errors: Path) -> subprocess.Popen:
    """Two processes of the program on this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
               "-m", "taichi_pynerf.apps.train", *argv]  # fmt: skip
    with errors.open("wb") as file:
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=file, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip


def worker_pid(launcher: int, rank: int) -> int | None:
    """The process of a rank that torchrun has started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == launcher and f"RANK={rank}".encode() in variables:
            return int(entry.name)
    return None


def killed(
    outcome: Outcome, folder: Path, scene: Path, name: str, rank: int, rng: random.Random
) -> None:
    """Kill a worker some time after the first checkpoint."""
    run_dir, errors = folder / name, folder / f"{name}.err"
    settings = {"max_steps": STEPS, "val_interval": 0}
    launcher = torchrun(small_run.arguments(scene, folder, name, **settings), errors)
    try:
        end = time.monotonic() + 600
        while small_run.step_of(run_dir) is None and launcher.poll() is None:
            if time.monotonic() > end:
                raise TimeoutError("torchrun wrote no checkpoint in 10 minutes")
            time.sleep(0.2)
        time.sleep(rng.uniform(0, 3))
        pid = worker_pid(launcher.pid, rank)
        if pid is None:
            outcome.note(f"worker {rank}", f"it has ended before: {errors.read_text()[-300:]}")
            return
        other = worker_pid(launcher.pid, 1 - rank)
        os.kill(pid, signal.SIGKILL)
        started = time.monotonic()
        try:
            status = launcher.wait(10 * MOST_SECONDS)
        except subprocess.TimeoutExpired:
            status = 0
        seconds = time.monotonic() - started
    finally:
        launcher.kill()
    text = errors.read_text(errors="replace")
    words = [x.split("\r")[-1] for x in text.splitlines() if "error: " in x and "another" in x]
    fault = None
    if seconds > MOST_SECONDS or status == 0:
        fault = f"the others went on for {seconds:.0f} s, status {status}"
    elif other is not None and Path(f"/proc/{other}").exists():
        fault = "the other worker still lives"
    elif not words:
        fault = f"no words of the other worker: {text[-300:]!r}"
    said = f"the others ended after {seconds:.1f} s: {words[0] if words else ''}"
    outcome.note(f"worker {rank} of 2 killed", fault or small_run.unreadable(run_dir), said)
    step = small_run.step_of(run_dir) or 0
    again = ["--resume", str(run_dir), "--no-tensorboard", "--max_steps", str(step + 5)]
    done = Forked(train.main, again, folder).wait()
    fault = done.fault(0)
    if fault is None and small_run.step_of(run_dir) != step + 5:
        fault = f"it ended at step {small_run.step_of(run_dir)}, not {step + 5}"
    outcome.note("resumed by one worker", fault, f"from step {step} to {step + 5}")
    again[-1] = str(step + 10)
    status = torchrun(again, errors).wait(900)
    fault = None if status == 0 else f"status {status}: {errors.read_text()[-300:]!r}"
    if fault is None and small_run.step_of(run_dir) != step + 10:
        fault = f"it ended at step {small_run.step_of(run_dir)}, not {step + 10}"
    outcome.note("resumed by two workers", fault, f"from step {step + 5} to {step + 10}")
