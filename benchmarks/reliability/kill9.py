"""kill -9 at 200 random moments of a training, in all of its phases.

Runs are killed ten times each, resumed each time, and then compared with a run that was left in
peace, to the bit.
"""

from __future__ import annotations

import random
import shutil
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import Forked
from benchmarks.reliability.phases import CLOSING, START, TRAINING, Phases, tell_phases
from taichi_pynerf.apps import train

LATEST_TIME = {"step": 4, "checkpoint": 3}  # how often a phase may pass before the kill; else 1


def campaign(options: Options, outcome: Outcome) -> None:
    rng = random.Random(options.seed)
    scene = small_run.make_scene(options.folder / "scene")
    for name in ("warm", "peace"):  # the first one compiles the kernels, and is slow
        phases = Phases()
        argv = small_run.arguments(scene, options.folder, name)
        done = Forked(train.main, argv, options.folder, partial(tell_phases, phases.write)).wait()
        phases.listen()
        phases.close()
        outcome.note(f"{name}: a run in peace", done.fault(0))
    lengths = {phase: statistics.median(found) for phase, found in phases.lengths().items()}
    peace = options.folder / "peace"
    expected = small_run.bits_of(peace), small_run.log_steps(peace)
    died_in: Counter = Counter()
    outcome.figures = {"died in": died_in, "seconds of a phase": lengths}
    for number in range(options.size(20, 1)):
        chain = Chain(options.folder, scene, f"run{number}", lengths, rng)
        early, late = [START, *TRAINING, "checkpoint"], list(CLOSING)
        if options.quick:
            early, late = ["checkpoint", "log"], ["preview"]
        chain.kill_in(early, outcome, died_in)
        chain.kill_in(late, outcome, died_in)
        chain.finish(outcome, expected)
        shutil.rmtree(chain.run_dir)
    never = {START, *TRAINING, *CLOSING} - set(died_in)
    if never and not options.quick:
        outcome.note("all phases", f"no process was killed in {', '.join(sorted(never))}")


class Chain:
    """A run that is killed again and again, and resumed."""

    def __init__(self, folder: Path, scene: Path, name: str, lengths: dict, rng: random.Random):
        self.folder, self.scene, self.name = folder, scene, name
        self.lengths, self.rng = lengths, rng
        self.run_dir = folder / name

    def kill_in(self, phases: list[str], outcome: Outcome, died_in: Counter) -> None:
        """Kill a process in each of the phases, in a random order."""
        self.rng.shuffle(phases)
        for phase in phases:
            step = small_run.step_of(self.run_dir)
            died = self._killed_in(phase)
            if died is None:
                outcome.note(f"{self.name}: {phase}", "it ended before it could be killed")
                continue
            died_in[died] += 1
            fault = small_run.unreadable(self.run_dir)
            now, left = small_run.step_of(self.run_dir), small_run.leftovers(self.run_dir)
            if fault is None and step is not None and (now is None or now < step):
                fault = f"the checkpoint went back from step {step} to {now}"
            if fault is None and len(left) > 1:  # one is what was being written just now
                fault = f"temporary files pile up: {left}"
            words = f"checkpoint of step {now}" if now is not None else "no checkpoint yet"
            outcome.note(f"{self.name}: killed in {died}", fault, words)

    def finish(self, outcome: Outcome, expected: tuple[str, list[int]]) -> None:
        """Let the run come to its end, and compare it."""
        fault = self._start().wait().fault(0)
        if fault is None and small_run.bits_of(self.run_dir) != expected[0]:
            fault = "other bits than those of a run in peace"
        if fault is None and small_run.log_steps(self.run_dir) != expected[1]:
            fault = f"the log has steps {small_run.log_steps(self.run_dir)}, not {expected[1]}"
        fault = fault or small_run.unreadable(self.run_dir)
        if fault is None and (left := small_run.leftovers(self.run_dir)):
            fault = f"temporary files stay: {left}"
        outcome.note(f"{self.name}: resumed to the end", fault, "the bits of a run in peace")

    def _start(self, prepare: Callable[[], object] = lambda: None) -> Forked:
        argv = small_run.arguments(self.scene, self.folder, self.name)
        if small_run.step_of(self.run_dir) is not None:
            argv = ["--resume", str(self.run_dir), "--backend", "cpu", "--no-tensorboard"]
        return Forked(train.main, argv, self.folder, prepare)

    def _killed_in(self, phase: str) -> str | None:
        """Kill a process in a phase; the phase in which it died, or None if it ended before."""
        phases = Phases()
        passes = self.rng.randint(1, LATEST_TIME.get(phase, 1))
        end = self.rng.uniform(0, self.lengths[phase])
        child = self._start(partial(tell_phases, phases.write, phase, passes))
        if phase != START and child.stopped():
            child.kill(signal.SIGCONT)
        end += time.monotonic()
        while time.monotonic() < end - 0.01:
            time.sleep(0.005)
        while time.monotonic() < end:  # no sleep is as exact as this
            pass
        child.kill(signal.SIGKILL)
        done = child.wait()
        phases.listen()
        phases.close()
        return phases.last if done.status == -signal.SIGKILL else None
