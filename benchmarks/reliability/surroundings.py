"""Signals, a second training in the same folder, and a clock that jumps, around a training."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import Forked
from benchmarks.reliability.phases import Phases, tell_phases
from taichi_pynerf.apps import train
from taichi_pynerf.training.trainer import PyNeRFTrainer


def campaign(options: Options, outcome: Outcome) -> None:
    folder, rng = options.folder, random.Random(options.seed)
    scene = small_run.make_scene(folder / "scene")
    done = Forked(train.main, small_run.arguments(scene, folder, "peace"), folder).wait()
    outcome.note("a run in peace", done.fault(0))
    expected = small_run.bits_of(folder / "peace")
    tries: list[Callable[[Outcome, Path, Path, str, random.Random], None]]
    tries = [signals, twins] if options.quick else [signals, twins, clock]
    for one in tries:
        one(outcome, folder, scene, expected, rng)


def ended_well(run_dir: Path, expected: str) -> str | None:
    """What is wrong with a run that should be like the one in peace."""
    if small_run.step_of(run_dir) != small_run.STEPS:
        return f"it ended at step {small_run.step_of(run_dir)}"
    if small_run.bits_of(run_dir) != expected:
        return "other bits than those of a run in peace"
    return small_run.unreadable(run_dir)


def signals(outcome: Outcome, folder: Path, scene: Path, expected: str, rng: random.Random) -> None:
    """A signal ends the training in good order; resumed, it gives the same bits."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        phases, child = Phases(), None
        prepare = partial(tell_phases, phases.write, "step", rng.randint(2, 20))
        argv = small_run.arguments(scene, folder, name)
        child = Forked(train.main, argv, folder, prepare)
        if child.stopped():
            child.kill(getattr(signal, name))
            child.kill(signal.SIGCONT)
        done = child.wait()
        phases.close()
        fault = done.fault(0)
        if fault is None and "stopped at step" not in done.out:
            fault = f"it does not say where it stopped: {done.out[-100:]!r}"
        words = next((x for x in done.out.splitlines() if "stopped" in x), "")
        if fault is None:
            argv = ["--resume", str(folder / name), "--no-tensorboard"]
            fault = Forked(train.main, argv, folder).wait().fault(0)
        fault = fault or ended_well(folder / name, expected)
        outcome.note(name, fault, words.split(";")[0])


def twins(outcome: Outcome, folder: Path, scene: Path, expected: str, rng: random.Random) -> None:
    """A second training into the same folder is refused, and the first one is not disturbed."""
    phases = Phases()
    argv = small_run.arguments(scene, folder, "twin")
    first = Forked(train.main, argv, folder, partial(tell_phases, phases.write, "step", 5))
    first.stopped()
    (folder / "second").mkdir()
    second = Forked(train.main, argv, folder / "second").wait()
    first.kill(signal.SIGCONT)
    fault = second.fault(2, "another training writes into this folder") or first.wait().fault(0)
    phases.close()
    words = second.last_words.replace(str(folder), "…")
    fault = fault or ended_well(folder / "twin", expected)
    outcome.note("two trainings into one folder", fault, words)


def clock(outcome: Outcome, folder: Path, scene: Path, expected: str, rng: random.Random) -> None:
    """The clock goes back by a day, or jumps forward by a year, in the middle of a training."""
    for days in (-1, 365):

        def prepare(days: int = days) -> None:
            now, train_step = time.time, PyNeRFTrainer.train_step

            def step(trainer: PyNeRFTrainer) -> dict:
                if trainer.step == 10:
                    time.time = lambda: now() + 86400 * days
                return train_step(trainer)

            PyNeRFTrainer.train_step = step  # type: ignore[method-assign]

        name = f"clock{days}"
        done = Forked(train.main, small_run.arguments(scene, folder, name), folder, prepare).wait()
        fault = done.fault(0) or ended_well(folder / name, expected)
        outcome.note(f"the clock moves by {days} days", fault, "the bits of a run in peace")
