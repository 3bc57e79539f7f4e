"""The page under random input from several clients: does it last, does it leak?

    python -m benchmarks.web_soak --events 1000 [--checkpoint RUN]

Starts a training with its page on the demo scene, or shows a run, and has three clients move,
change settings and sizes, pause, record flights, download, leave and come back, some of them
without a word, and send rubbish. Prints a table and JSON; ends with status 1 if the program ended,
wrote an error or grew by 100 MB. The clients speak the page's protocol; no browser takes part.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import sys
import tempfile
import time

from websockets.exceptions import ConnectionClosed

from benchmarks.page_client import PageClient
from benchmarks.web_program import WebProgram

NUM_CLIENTS = 3
LARGEST = (800, 600)  # pixels
GREATEST_GROWTH = 100.0  # MB
MODES = ("colour", "depth", "accumulation", "normals", "pyramid level", "error to image")
WEIGHTS = {
    "move": 10, "setting": 8, "training": 1, "film": 0.3, "resize": 1, "come_back": 0.5,
    "rubbish": 0.5,
}  # fmt: skip
PATIENCE = 300.0  # seconds for an answer, beside other work
_SECONDS = 0.05  # between two events
_FULL_SECONDS = 4.0  # for a whole picture in each mode, which brings memory to its height


class Hands:
    """Random input of one client, which leaves and comes back.

    Attributes:
        sent_away: how often the server has ended the connection.
    """

    def __init__(self, link: str, generator: random.Random):
        self.link, self.random = link, generator
        self.sent_away = 0
        self.client = self._come()

    def act(self, name: str) -> None:
        """Do something of this name; a client that has been sent away comes back."""
        try:
            getattr(self, name)()
        except (ConnectionClosed, OSError):
            self.sent_away += 1
            self.client = self._come()

    def is_shown_pictures(self) -> None:
        """Wait for a new picture.

        Raises:
            TimeoutError: none came in time.
        """
        self.act("draw")
        pictures = self.client.pictures
        had = len(pictures)
        self.act("move")
        if pictures is self.client.pictures:
            self.client.wait(lambda: len(pictures) > had, "a picture")
        else:  # it had to come back
            self.client.wait(lambda: len(self.client.pictures) > 0, "a picture")

    def draw(self) -> None:
        self._set("pause", False)
        self._set("draw", True)

    def move(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            self._look()
            time.sleep(0.02)

    def setting(self) -> None:
        label, values = self.random.choice(
            [
                ("mode", MODES), ("one level", (True, False)), ("level", (0.0, 1.5, 3.0)),
                ("exposure", (-2.0, 0.0, 1.0)), ("background", ((0, 0, 0), (255, 255, 255))),
                ("view, deg", (30, 50, 80)), ("draw", (True, True, False)), ("crop", (True, False)),
                ("sides", ((1.0, 1.0, 1.0), (2.0, 1.5, 0.7))), ("training cameras", (True, False)),
                ("training view", (0, 3, 7)), ("scene box", (True, False)),
                ("First view", (True,)), ("Download picture", (True,)), ("preview", (0.2, 0.7)),
                ("Add key frame", (True,)), ("Remove the last", (True,)), ("Play", (True,)),
                ("Write camera path", (True,)), ("Write crop.json", (True,)),
            ]
        )  # fmt: skip
        self._set(label, self.random.choice(values))

    def training(self) -> None:
        label, values = self.random.choice(
            [("pause", (True, False, False)), ("share", (0.2, 0.5, 0.8)), ("Save checkpoint", (1,))]
        )
        self._set(label, self.random.choice(values))

    def film(self) -> None:
        self._set("film size", "320 x 180")
        self._set(self.random.choice(("Render film", "Stop")), True)

    def resize(self) -> None:
        width, height = LARGEST
        self.client.size = self.random.randint(200, width), self.random.randint(150, height)
        self._look()

    def come_back(self) -> None:
        if self.random.random() < 0.5:
            self.client.vanish()
        else:
            self.client.close()
        self.client = self._come()

    def rubbish(self) -> None:
        size = self.random.choice(((0, 0), (20000, 20000), (-3, 5)))
        self.client.send_view((1, 0, 0, 0), (float("nan"),) * 3, (0, 0, 0), (0, 0, 1), 1.0, size)
        if self.random.random() < 0.3:
            self.client.send_raw(self.random.randbytes(40))
            time.sleep(0.2)
            self.client.close()
            self.client = self._come()

    def _come(self) -> PageClient:
        client = PageClient(self.link, LARGEST, patience=PATIENCE)
        client.orbit(0.0)
        return client

    def _look(self) -> None:
        self.client.orbit(
            self.random.uniform(-3.0, 3.0), self.random.uniform(0.4, 2.0),
            self.random.uniform(-0.2, 0.2),
        )  # fmt: skip

    def _set(self, label: str, value: object) -> None:
        if label in self.client.widgets:
            self.client.set(label, value)


def warm_up(hands: list[Hands]) -> None:
    """A whole picture in each mode for each client: what is reserved once is reserved now."""
    for mode in MODES:
        for hand in hands:
            hand.client.wait(lambda hand=hand: "mode" in hand.client.widgets, "widgets")
            hand._set("mode", mode)
        time.sleep(_FULL_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", help="show this run instead of training")
    args = parser.parse_args()
    generator = random.Random(args.seed)
    counts: collections.Counter[str] = collections.Counter()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        flags: list[object] = ["--output_dir", folder]
        if args.checkpoint:
            flags += ["--checkpoint", args.checkpoint]
        else:
            flags += ["--max_steps", 10**6]
        with WebProgram("view" if args.checkpoint else "train", *flags) as program:
            hands = [Hands(program.link, generator) for _ in range(NUM_CLIENTS)]
            warm_up(hands)
            before = program.memory()
            for name in generator.choices(list(WEIGHTS), list(WEIGHTS.values()), k=args.events):
                program.check()
                counts[name] += 1
                generator.choice(hands).act(name)
                time.sleep(_SECONDS)
            for hand in hands:  # in the end all of them still get pictures
                hand.is_shown_pictures()
            after = program.memory()
            faults = program.faults()
            for hand in hands:
                hand.client.close()
    growth = after - before
    for name, count in counts.items():
        print(f"{name:10} {count:5}")
    print(f"memory {before:.0f} MB before, {after:.0f} MB after: {growth:+.1f}")
    print(
        json.dumps(
            {
                "events": dict(counts), "growth_mb": round(growth, 1), "faults": faults,
                "seconds": round(time.perf_counter() - started),
            }
        )
    )  # fmt: skip
    sys.exit(bool(faults) or growth >= GREATEST_GROWTH)


if __name__ == "__main__":
    main()
