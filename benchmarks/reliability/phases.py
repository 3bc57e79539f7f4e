"""The phases of a training, told by the training itself through a pipe."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from taichi_pynerf.apps import train, training_report
from taichi_pynerf.training.log import TrainingLog
from taichi_pynerf.training.trainer import PyNeRFTrainer

START, BETWEEN = "start", "between"  # before and after the first step, outside the others
TRAINING = ("settings", "step", "log", "validation", "checkpoint")
CLOSING = ("test", "curves", "metrics", "preview")
_PLACES: tuple[tuple[str, Any, str], ...] = (
    ("settings", train, "clear_run_folder"),
    ("settings", train, "write_settings"),
    ("settings", TrainingLog, "cut"),
    ("step", PyNeRFTrainer, "train_step"),
    ("log", TrainingLog, "write"),
    ("validation", PyNeRFTrainer, "validate"),
    ("checkpoint", PyNeRFTrainer, "save"),
    ("test", training_report, "evaluate"),
    ("curves", training_report, "write_curves"),
    ("metrics", training_report, "atomic_write_text"),
    ("preview", training_report, "write_preview"),
)


def tell_phases(
    handle: int,
    phase: str = "",
    passes: int = 1,
    around: Callable[[], AbstractContextManager[object]] = lambda: stopped(),
) -> None:
    """Write a line at the begin and end of each phase: time and the phase that follows.

    Call it in the process that trains; it changes the training's functions.

    Args:
        handle: a file descriptor.
        phase: one to disturb.
        passes: from which time on it is disturbed: positive only that time, negative ever since.
        around: the disturbance, a context; by default the process stops until it gets SIGCONT.
    """
    inside, begun = [START], Counter[str]()

    def tell() -> None:
        os.write(handle, f"{time.monotonic()} {inside[-1]}\n".encode())

    def disturbance(begun_phase: str) -> AbstractContextManager[object]:
        count = begun[begun_phase]
        due = count == passes if passes > 0 else count >= -passes
        return around() if begun_phase == phase and due else contextlib.nullcontext()

    def told(phase: str, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            if phase == "step":
                inside[0] = BETWEEN
            inside.append(phase)
            begun[phase] += 1
            tell()
            try:
                with disturbance(phase):
                    return function(*args, **kwargs)
            finally:
                inside.pop()
                tell()

        return call

    for named, place, name in _PLACES:
        setattr(place, name, told(named, getattr(place, name)))
    tell()


@contextlib.contextmanager
def stopped() -> Iterator[None]:
    """Stop this process until it gets SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)
    yield


class Phases:
    """The end of the pipe that listens.

    Attributes:
        told: (time, phase) of each line so far.
    """

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        os.set_blocking(self._read, False)
        self.told: list[tuple[float, str]] = []

    @property
    def last(self) -> str:
        """The phase that was told last."""
        return self.told[-1][1] if self.told else START

    def listen(self) -> None:
        """Read what has been told."""
        data = b""
        with contextlib.suppress(BlockingIOError):  # all is read
            while more := os.read(self._read, 65536):
                data += more
        for line in data.decode().splitlines():
            moment, phase = line.split()
            self.told.append((float(moment), phase))

    def close(self) -> None:
        os.close(self._read)
        os.close(self.write)

    def lengths(self) -> dict[str, list[float]]:
        """{phase: seconds of each time}; the start lasts until anything else begins."""
        first = next(moment for moment, phase in self.told if phase != START)
        found: dict[str, list[float]] = {}
        for (begin, phase), (end, _) in zip(self.told, self.told[1:], strict=False):
            found.setdefault(phase, []).append(end - begin)
        return {**found, START: [first - self.told[0][0]]}
