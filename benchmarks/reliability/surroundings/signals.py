"""Signals, a second training in the same folder, and a clock that jumps, around a training."""

from __future__ import annotations

import signal
import time
from functools import partial

from benchmarks.reliability.campaign import Outcome
from benchmarks.reliability.children import Forked
from benchmarks.reliability.phases import Phases, tell_phases
from benchmarks.reliability.surroundings.peace import Peace
from taichi_pynerf.apps import train
from taichi_pynerf.training.trainer import PyNeRFTrainer


def signalled(outcome: Outcome, peace: Peace, name: str, step: int) -> None:
    """A signal ends the training in good order; resumed, it gives the same bits."""
    phases, run_dir = Phases(), peace.folder / name
    prepare = partial(tell_phases, phases.write, "step", step)
    child = Forked(train.main, peace.argv(name), peace.folder, prepare)
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
        argv = ["--resume", str(run_dir), "--no-tensorboard"]
        fault = Forked(train.main, argv, peace.folder).wait().fault(0)
    outcome.note(name, fault or peace.fault_of(run_dir), words.split(";")[0])


def twins(outcome: Outcome, peace: Peace) -> None:
    """A second training into the same folder is refused, and the first one is not disturbed."""
    phases, argv = Phases(), peace.argv("twin")
    prepare = partial(tell_phases, phases.write, "step", 5)
    first = Forked(train.main, argv, peace.folder, prepare)
    first.stopped()
    (peace.folder / "second").mkdir()
    second = Forked(train.main, argv, peace.folder / "second").wait()
    first.kill(signal.SIGCONT)
    fault = second.fault(2, "another training writes into this folder") or first.wait().fault(0)
    phases.close()
    words = second.last_words.replace(str(peace.folder), "…")
    fault = fault or peace.fault_of(peace.folder / "twin")
    outcome.note("two trainings into one folder", fault, words)


def clock(outcome: Outcome, peace: Peace) -> None:
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
        done = Forked(train.main, peace.argv(name), peace.folder, prepare).wait()
        fault = done.fault(0) or peace.fault_of(peace.folder / name)
        outcome.note(f"the clock moves by {days} days", fault, "the bits of a run in peace")
