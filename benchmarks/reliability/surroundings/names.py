"""Folders with names that scripts and terminals stumble over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Outcome
from benchmarks.reliability.children import Forked
from benchmarks.reliability.surroundings.peace import Peace
from taichi_pynerf.apps import render, train

NAMES = (
    "a line\nbreak, and a fox 🦊", "two  spaces ", "100 % {of} $HOME 'it' \"s\" \\n", "\x1b[31mred",
    os.fsdecode(b"bytes \xff\xfe that are no text"), "[a-z]*?", "ü" * 127,
)  # fmt: skip


def named(outcome: Outcome, peace: Peace, chosen: Sequence[str]) -> None:
    """A scene and a run in folders of a name: train, resume, render, and an error in one line."""
    for number, name in enumerate(chosen):
        place = peace.folder / f"names{number}"
        scene, run_dir = place / "scenes" / name, place / "runs" / name
        shutil.copytree(peace.scene, scene)
        argv = small_run.arguments(scene, run_dir.parent, name)
        fault = Forked(train.main, argv, peace.folder).wait().fault(0) or peace.fault_of(run_dir)
        for program, flags in (
            (train, ["--resume", run_dir, "--max_steps", small_run.STEPS + 2, "--no-tensorboard"]),
            (render, ["--checkpoint", run_dir]),
        ):
            if fault is None:
                done = Forked(program.main, list(map(str, flags)), peace.folder).wait()
                fault = done.fault(0)
        if fault is None and not any((run_dir / "renders").rglob("*.png")):
            fault = "no pictures were rendered"
        argv = small_run.arguments(scene / "absent", place, "absent")
        fault = fault or Forked(train.main, argv, peace.folder).wait().fault(2, "absent")
        outcome.note(f"a folder {name[:40]!a}", fault, "trained, resumed, rendered; one line")
