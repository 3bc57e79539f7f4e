"""Programs of the project in processes of their own, which may be limited, marked and killed."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import taichi as ti

from taichi_pynerf.apps import cli

for _name in ("torch._dynamo", "matplotlib.figure", "matplotlib.backends.backend_agg"):
    with contextlib.suppress(ImportError):  # what programs import late
        importlib.import_module(_name)

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """A program that has ended.

    Attributes:
        status: its exit status; minus the signal that ended it.
        out: what it printed.
        err: what it wrote on standard error.
    """

    status: int
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """Its last line on standard error, without progress bars."""
        lines = [line.split("\r")[-1].strip() for line in self.err.splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def fault(self, status: int, *words: str) -> str | None:
        """What is wrong with its end; None if it is as promised.

        Args:
            status: the expected exit status.
            words: parts of the expected last line; an error must be a single line without a
                traceback.
        """
        if "Traceback" in self.err:
            return f"a traceback: {self.last_words}"
        if self.status != status:
            return f"status {self.status} instead of {status}: {self.last_words}"
        if status == cli.EXIT_USER_ERROR and not self.last_words.startswith("error: "):
            return f"no line of error: {self.last_words}"
        missing = [word for word in words if word not in self.err]
        return f"no word of {missing}: {self.last_words}" if missing else None


class Forked:
    """A program in a fork of this process, which has imported all and started nothing yet.

    So a start takes a second or two instead of five. Do not start Taichi, or use torch's threads,
    in this process.

    Args:
        main: the program's `main(argv)`.
        argv: its arguments.
        folder: gets what it prints.
        prepare: called in the child before.
    """

    def __init__(
        self,
        main: Callable[[list[str]], None],
        argv: list[str],
        folder: Path,
        prepare: Callable[[], object] = lambda: None,
    ):
        self.outputs = [folder / "stdout.txt", folder / "stderr.txt"]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        self._status: int | None = None
        if self.pid:
            return
        status = 1
        try:
            for number, path in enumerate(self.outputs, 1):
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
                os.dup2(handle, number)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # One thread is quickest for small work, above all beside other work.
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
            prepare()
            sys.argv = ["pynerf", *argv]
            cli.run(main)
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            atexit._run_exitfuncs()
            ti.reset()  # writes the cache of kernels, as the end of an interpreter would
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)

    def ended(self) -> bool:
        """Whether it has ended."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def stopped(self) -> bool:
        """Wait until it stops itself; False if it ends instead."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            self._status = os.waitstatus_to_exitcode(status)
        return self._status is None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, if it still lives."""
        if not self.ended():
            os.kill(self.pid, number)

    def wait(self, seconds: float = 900.0) -> Done:
        """Its end; it is killed if it takes longer."""
        end = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > end:
                self.kill()
            time.sleep(0.005)
        assert self._status is not None
        out, err = (path.read_text(errors="replace") for path in self.outputs)
        return Done(self._status, out, err)
