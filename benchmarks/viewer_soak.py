"""The viewer under random input (moves, modes, sizes, pauses, keys): a test for crashes and leaks.

    xvfb-run -a -s "-screen 0 1400x900x24 -noreset" python -m benchmarks.viewer_soak --events 1000

Starts a training with its window, on the demo scene or with the flags after `--`, and sends real
mouse and key events with xdotool. Needs an X server without a window manager, as Xvfb is. Prints a
table and JSON; ends with status 1 if the program ended, wrote an error or grew by 100 MB.
"""

import argparse
import collections
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APP = Path(__file__).parents[1] / "apps" / "train.py"
SMALLEST, LARGEST = (300, 200), (1300, 850)  # pixels
KEYS = (
    *"rmfbvthpkx", "BackSpace", "Left", "Right", "Up", "Down", "F12", *"0123456789",
    *"wasdqe", "shift+d", "ctrl+a",
)  # fmt: skip
GREATEST_GROWTH = 100.0  # MB
_SECONDS = 0.05  # between two events
_NUM_MODES = 6
_SETTLING_SECONDS = 2.0


class Soak:
    """A program's window under random input.

    Args:
        process: the program, whose standard error goes to a file.
        title: a part of the window's title.
        seed: decides the events.
        largest: width and height in pixels that the window is given at most.
        full_seconds: for a whole picture of that size, to bring memory to its height first.

    Raises:
        RuntimeError: the program ended, or no window came.
    """

    def __init__(
        self,
        process: subprocess.Popen,
        title: str,
        seed: int = 0,
        largest: tuple[int, int] = LARGEST,
        full_seconds: float = 5.0,
    ):
        self.process, self.random = process, random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.size = self.largest = largest
        self.full_seconds = full_seconds
        for _ in range(1200):
            self._check()
            found = self._xdotool("search", "--name", title, check=False).split()
            if found:
                self.window = found[-1]
                self._xdotool("windowfocus", "--sync", self.window)
                return
            time.sleep(0.1)
        raise RuntimeError(f"no window is called {title}")

    def run(self, num_events: int) -> dict[str, float]:
        """Send so many events. Memory of the program before and after, in MB."""
        self._resize(self.largest)
        self._send("key", "space")
        for _ in range(_NUM_MODES):  # what is made or reserved once is made now: this is no leak
            self._send("key", "m")
            time.sleep(self.full_seconds)
        self._send("key", "space")
        before = self._memory()
        events = {
            "move": (self._drag, 5), "key": (self._key, 8), "resize": (self._random_size, 1),
            "pause": (lambda: self._send("key", "space"), 1), "minimise": (self._minimise, 0.3),
        }  # fmt: skip
        names, weights = list(events), [weight for _, weight in events.values()]
        for name in self.random.choices(names, weights, k=num_events):
            self.counts[name] += 1
            events[name][0]()
            time.sleep(_SECONDS)
        self._resize(self.largest)
        return {"before": before, "after": self._memory()}

    def _drag(self) -> None:
        button = self.random.choice((1, 1, 2, 3))
        self._move()
        self._send("mousedown", button)
        for _ in range(self.random.randint(1, 3)):
            self._move()
        self._send("mouseup", button)

    def _move(self) -> None:
        x, y = (self.random.randrange(n) for n in self.size)
        self._send("mousemove", "--window", self.window, x, y)

    def _key(self) -> None:
        self._send("key", self.random.choice(KEYS))

    def _random_size(self) -> None:
        self._resize(tuple(map(self.random.randint, SMALLEST, self.largest)))

    def _resize(self, size: tuple[int, int]) -> None:
        self.size = size
        self._send("windowsize", self.window, *size)

    def _minimise(self) -> None:
        self._send("windowunmap", self.window)
        time.sleep(5 * _SECONDS)
        self._send("windowmap", "--sync", self.window)
        self._send("windowfocus", self.window)

    def _memory(self) -> float:
        """Resident memory of the program once it has settled, MB."""
        time.sleep(_SETTLING_SECONDS)
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    def _send(self, *arguments) -> None:
        self._check()
        self._xdotool(*arguments)

    def _check(self) -> None:
        if self.process.poll() is not None:
            raise RuntimeError(f"the program ended with status {self.process.returncode}")

    def _xdotool(self, *arguments, check: bool = True) -> str:
        command = ["xdotool", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=check, timeout=60
        ).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("flags", nargs="*", help="for apps/train.py, after --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Path(folder, "errors").open("w+") as errors:
        command = [sys.executable, APP, "--gui", "--output_dir", folder, "--max_steps", 10**6]
        process = subprocess.Popen(
            [*map(str, command), *args.flags], stdout=subprocess.DEVNULL, stderr=errors,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            soak = Soak(process, "taichi_pynerf", args.seed)
            memory = soak.run(args.events)
        finally:
            process.terminate()
            process.wait(60)
        errors.seek(0)
        faults = re.findall(r"^(?:Traceback|\w*Error).*", errors.read(), flags=re.MULTILINE)
    growth = memory["after"] - memory["before"]
    for name, count in soak.counts.items():
        print(f"{name:9} {count:5}")
    print(f"memory {memory['before']:.0f} MB before, {memory['after']:.0f} MB after: {growth:+.1f}")
    print(
        json.dumps({"events": dict(soak.counts), "growth_mb": round(growth, 1), "faults": faults})
    )
    sys.exit(bool(faults) or growth >= GREATEST_GROWTH)


if __name__ == "__main__":
    main()
