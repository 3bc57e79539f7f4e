"""Taichi's cache of compiled kernels: damaged, and shared by two processes."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.reliability.campaign import Outcome
from benchmarks.reliability.children import Forked
from benchmarks.reliability.surroundings.peace import Peace
from taichi_pynerf.apps import train

VARIABLE = "TI_OFFLINE_CACHE_FILE_PATH"


def _flipped(data: bytes, rng: random.Random) -> bytes:
    """Some bits are other ones, as on a bad disk."""
    changed = bytearray(data)
    for _ in range(8):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut off": lambda data, rng: data[: rng.randrange(len(data))],
    "empty": lambda data, rng: b"",
    "zeros": lambda data, rng: bytes(len(data)),
    "rubbish": lambda data, rng: rng.randbytes(len(data)),
    "with changed bits": _flipped,
}


def damaged(outcome: Outcome, peace: Peace, kinds: list[str]) -> None:
    """All files of the cache are damaged: kernels are compiled anew, and nothing else is seen."""
    good, rng = peace.folder / "cache", random.Random(0)
    done = Forked(train.main, peace.argv("cached"), peace.folder, partial(_cache_in, good)).wait()
    files = sorted(path.name for path in good.iterdir())
    fault = done.fault(0) or peace.fault_of(peace.folder / "cached")
    outcome.note("a cache of kernels", fault or (None if files else "no file"), f"{len(files)}")
    for kind in kinds:
        bad = peace.folder / f"cache {kind}"
        shutil.copytree(good, bad)
        for name in files:
            (bad / name).write_bytes(DAMAGES[kind]((good / name).read_bytes(), rng))
        name = f"cache_{kind.replace(' ', '_')}"
        prepare = partial(_cache_in, bad)
        done = Forked(train.main, peace.argv(name), peace.folder, prepare).wait()
        fault = done.fault(0) or peace.fault_of(peace.folder / name)
        words = done.last_words if "warning" in done.last_words else "the bits of a run in peace"
        outcome.note(f"a cache of kernels whose files are {kind}", fault, words)


def shared(outcome: Outcome, peace: Peace) -> None:
    """Two trainings fill one empty cache, and a third one finds it."""
    cache, both = peace.folder / "shared cache", []
    for name in ("first", "second"):
        (peace.folder / f"{name} words").mkdir()
        both.append(
            Forked(
                train.main,
                peace.argv(f"shared_{name}"),
                peace.folder / f"{name} words",
                partial(_cache_in, cache),
            )
        )
    faults = [child.wait().fault(0) for child in both]
    third = Forked(train.main, peace.argv("shared_third"), peace.folder, partial(_cache_in, cache))
    faults.append(third.wait().fault(0))
    for name in ("first", "second", "third"):
        faults.append(peace.fault_of(peace.folder / f"shared_{name}"))
    found = next((fault for fault in faults if fault), None)
    outcome.note("two processes share a cache of kernels", found, "and a third one finds it")


def _cache_in(folder: Path) -> None:
    os.environ[VARIABLE] = str(folder)
