"""Signals, a second training, jumping clocks, odd names and languages, and places that fail."""

from __future__ import annotations

import random

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import Forked
from benchmarks.reliability.surroundings import caches, names, places, signals
from benchmarks.reliability.surroundings.peace import Peace
from taichi_pynerf.apps import train


def campaign(options: Options, outcome: Outcome) -> None:
    folder, rng = options.folder, random.Random(options.seed)
    scene = small_run.make_scene(folder / "scene")
    done = Forked(train.main, small_run.arguments(scene, folder, "peace"), folder).wait()
    outcome.note("a run in peace", done.fault(0))
    peace = Peace(folder, scene, small_run.bits_of(folder / "peace"))
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signals.signalled(outcome, peace, name, rng.randint(2, 20))
    signals.twins(outcome, peace)
    names.named(outcome, peace, names.NAMES[: options.size(len(names.NAMES), 1)])
    caches.damaged(outcome, peace, list(caches.DAMAGES)[: options.size(len(caches.DAMAGES), 1)])
    if options.quick:
        return
    signals.clock(outcome, peace)
    caches.shared(outcome, peace)
    places.languages(outcome, peace)
    places.homeless(outcome, peace)
    places.mounts(outcome, peace)
