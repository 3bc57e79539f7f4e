"""The program with its page, started for a benchmark, and what it writes and takes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.running_clock import RunningClock

APPS = Path(__file__).parents[1] / "apps"


class WebProgram:
    """`apps/train.py --web` or `apps/view.py --web`, until the end of a with block.

    Args:
        app: "train" or "view".
        flags: more of its flags.

    Attributes:
        link: of its page.

    Raises:
        RuntimeError: it ended, or printed no link in time.
    """

    def __init__(self, app: str, *flags: object):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed in __exit__)
        self.process = subprocess.Popen(
            [sys.executable, str(APPS / f"{app}.py"), "--web", "--port", "0", *map(str, flags)],
            stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # a terminal's Ctrl-C is for the benchmark, which then ends it
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.search(r"http://\S+", line)
            if found:
                self.link = found[0]
                return
        raise RuntimeError(f"no link came: {self.errors()}")

    def __enter__(self) -> WebProgram:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._errors.close()

    def check(self) -> None:
        """Whether it still runs.

        Raises:
            RuntimeError: it does not.
        """
        if self.process.poll() is not None:
            raise RuntimeError(f"the program ended, status {self.process.returncode}")

    def errors(self) -> str:
        """What it wrote to its standard error so far."""
        self._errors.seek(0)
        return self._errors.read()

    def faults(self) -> list[str]:
        """Lines of it that tell of an error in the program."""
        return re.findall(r"^(?:Traceback|\w*Error).*", self.errors(), flags=re.MULTILINE)

    def handles(self) -> int:
        """The number of its open files and sockets."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def threads(self) -> int:
        """The number of its threads."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/task").iterdir())

    def end(self, seconds: float = 300.0) -> int:
        """Ask it to end, as Ctrl-C does; its exit status.

        Time in which this process is stopped does not count.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
        """
        self.process.send_signal(signal.SIGINT)
        clock = RunningClock()
        while self.process.poll() is None:
            if clock.read() > seconds:
                raise subprocess.TimeoutExpired(self.process.args, seconds)
            time.sleep(0.05)
        return self.process.returncode

    def memory(self, settling: float = 2.0) -> float:
        """Resident memory after some seconds, MB."""
        time.sleep(settling)
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024
