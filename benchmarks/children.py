"""Measurements in separate processes: of memory, and with fewer processors."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import Options


def run_child(module: str, options: Options, num_threads: int | None = None) -> dict:
    """The last output of `python -m benchmarks.MODULE OPTIONS`, run in its own process.

    Args:
        num_threads: processors it may use; all of this process's if None.

    Raises:
        RuntimeError: the process failed; the message is its last line.
    """
    processors = None
    environment = dict(os.environ)
    if num_threads is not None:
        processors = set(sorted(os.sched_getaffinity(0))[:num_threads])
        environment["OMP_NUM_THREADS"] = str(num_threads)
    command = [
        sys.executable,
        "-m",
        f"benchmarks.{module}",
        json.dumps(dataclasses.asdict(options)),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[1],
        preexec_fn=None if processors is None else lambda: os.sched_setaffinity(0, processors),
    )  # fmt: skip
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode:
        raise RuntimeError(f"benchmarks.{module} failed: {(lines or ['no output'])[-1]}")
    return json.loads(lines[-1])


def child_options() -> Options:
    """In the child: the options that `run_child` was called with."""
    return Options(**json.loads(sys.argv[1]))
