"""Signals, a second training, jumping clocks, odd names and languages, and places that fail.

`--part signals`, or another of PARTS, tries that one alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import Forked
from benchmarks.reliability.surroundings import caches, names, places, signals
from benchmarks.reliability.surroundings.peace import Peace
from taichi_pynerf.apps import train

PARTS = (
    "signals", "twins", "names", "damaged_cache", "clock", "shared_cache", "languages", "homeless",
    "mounts",
)  # fmt: skip


def campaign(options: Options, outcome: Outcome) -> None:
    folder, rng = options.folder, random.Random(options.seed)
    chosen = options.chosen(PARTS, PARTS[:4] if options.quick else None)
    scene = small_run.make_scene(folder / "scene")
    done = Forked(train.main, small_run.arguments(scene, folder, "peace"), folder).wait()
    outcome.note("a run in peace", done.fault(0))
    peace = Peace(folder, scene, small_run.bits_of(folder / "peace"))

    def try_signals() -> None:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signals.signalled(outcome, peace, name, rng.randint(2, 20))

    some_names = names.NAMES[: options.size(len(names.NAMES), 1)]
    damages = list(caches.DAMAGES)[: options.size(len(caches.DAMAGES), 1)]
    tries: dict[str, Callable[[], None]] = {
        "signals": try_signals,
        "twins": partial(signals.twins, outcome, peace),
        "names": partial(names.named, outcome, peace, some_names),
        "damaged_cache": partial(caches.damaged, outcome, peace, damages),
        "clock": partial(signals.clock, outcome, peace),
        "shared_cache": partial(caches.shared, outcome, peace),
        "languages": partial(places.languages, outcome, peace),
        "homeless": partial(places.homeless, outcome, peace),
        "mounts": partial(places.mounts, outcome, peace),
    }
    for part in chosen:
        tries[part]()
