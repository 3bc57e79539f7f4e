"""A full, read-only, vanished or limited disk at every write of a training.

The obstacle is there during one phase. What a run needs ends it with one line and status 2, and
the checkpoint before stays; a log or a picture is left out with a warning. Afterwards the run is
resumed, and ends with the bits of a run that met no obstacle.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import Forked
from benchmarks.reliability.phases import Phases, tell_phases
from taichi_pynerf.apps import render, train

NEEDED = {"settings": "config.json", "checkpoint": "checkpoint.pth"}  # {phase: its file}
DISPENSABLE = {
    "log": "log.jsonl", "curves": "curves.png", "metrics": "metrics.json", "preview": "preview.png"
}  # fmt: skip
DISK_BYTES = 128 * 2**20


@contextlib.contextmanager
def full(disk: Path, run_dir: Path) -> Iterator[None]:
    """No byte is free on the disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def read_only(disk: Path, run_dir: Path) -> Iterator[None]:
    """The disk has become read-only, as after an error of the hardware."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


@contextlib.contextmanager
def vanished(disk: Path, run_dir: Path) -> Iterator[None]:
    """Somebody has moved the run folder away."""
    away = run_dir.with_name("away")
    run_dir.rename(away)
    try:
        yield
    finally:
        if run_dir.exists():
            shutil.rmtree(run_dir)
        away.rename(run_dir)


@contextlib.contextmanager
def limited(disk: Path, run_dir: Path) -> Iterator[None]:
    """No file may be larger than 1 MiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A small disk in memory.

    Raises:
        PermissionError: only root may mount it.
    """
    if os.geteuid() != 0:
        raise PermissionError(errno.EPERM, "only root can mount a small disk")
    folder.mkdir()
    size = f"size={DISK_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def campaign(options: Options, outcome: Outcome) -> None:
    scene = small_run.make_scene(options.folder / "scene")
    argv = small_run.arguments(scene, options.folder, "peace")
    done = Forked(train.main, argv, options.folder).wait()
    outcome.note("a run in peace", done.fault(0))
    expected = small_run.bits_of(options.folder / "peace")
    try:
        with mounted(options.folder / "disk") as disk:
            kinds: tuple = (full,) if options.quick else (full, read_only, vanished, limited)
            for kind in kinds:
                for phase in {**NEEDED, **DISPENSABLE}:
                    if options.quick and phase not in ("checkpoint", "preview"):
                        continue
                    if kind is limited and phase != "checkpoint":
                        continue  # no other file is that large
                    disturbed(outcome, options.folder, scene, disk, kind, phase, expected)
            rendering(outcome, options.folder, disk)
    except (PermissionError, subprocess.CalledProcessError) as error:
        outcome.skipped.append(f"small disks: {error}")
        disturbed(outcome, options.folder, scene, options.folder, limited, "checkpoint", expected)


def disturbed(
    outcome: Outcome, folder: Path, scene: Path, disk: Path, kind: Callable, phase: str,
    expected: str,
) -> None:  # fmt: skip
    """One training with an obstacle in one phase, and its resumption."""
    run_dir = disk / "run"
    shutil.rmtree(run_dir, ignore_errors=True)
    phases = Phases()
    # The first checkpoint is written in peace; the first lines of settings clear the folder.
    passes = {"checkpoint": 3, "settings": 2}.get(phase, 1)
    around = partial(kind, disk, run_dir)
    prepare = partial(tell_phases, phases.write, phase, passes, around)
    argv = small_run.arguments(scene, disk, "run")
    done = Forked(train.main, argv, folder, prepare).wait()
    phases.listen()
    phases.close()
    what = f"{kind.__name__} at {phase}"
    if phase in NEEDED:
        fault = done.fault(2, NEEDED[phase])
        words = done.last_words
    else:
        fault = done.fault(0, "warning: ", DISPENSABLE[phase])
        words = next((x for x in done.err.splitlines() if "warning: " in x), "")
        words = words[words.find("warning: ") :]
    fault = fault or small_run.unreadable(run_dir)
    step = small_run.step_of(run_dir)
    if fault is None and phase != "settings" and step is None:
        fault = "no checkpoint is left"
    if fault is None and phase in DISPENSABLE and step != small_run.STEPS:
        fault = f"the training ended at step {step}"
    if fault is None and (left := small_run.leftovers(run_dir)):
        fault = f"temporary files stay: {left}"
    if fault is None:
        argv = ["--resume", str(run_dir)] if step else small_run.arguments(scene, disk, "run")
        again = Forked(train.main, argv, folder).wait()
        fault = again.fault(0)
        if fault is None and small_run.bits_of(run_dir) != expected:
            fault = "resumed, it gives other bits"
    outcome.note(what, fault, words.replace(str(disk), "DISK"))


def rendering(outcome: Outcome, folder: Path, disk: Path) -> None:
    """Pictures onto a full disk."""
    run_dir = folder / "peace"
    argv = ["--checkpoint", str(run_dir), "--output_dir", str(disk / "pictures")]
    with full(disk, run_dir):
        done = Forked(render.main, argv, folder).wait()
    pictures = disk / "pictures"
    left = [path.name for path in pictures.rglob("*") if path.is_file() and not path.stat().st_size]
    fault = done.fault(2) or (f"empty files stay: {left}" if left else None)
    outcome.note("full at rendering", fault, done.last_words.replace(str(disk), "DISK"))
