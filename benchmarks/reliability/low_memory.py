"""Less memory than a training needs: it says so before the system ends it, and what would fit.

The address space is limited as by `ulimit -v`, to more and more above what the process has when it
starts. With root's rights a control group limits the memory itself; then a process that takes more
is killed without a word. A scene of 1,000 images is read within several limits, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import Done, Forked
from taichi_pynerf.apps import train

MIB = 2**20
# Table entries; with 3 levels above their dense size the large one asks for 3 GiB.
SIZES = {"small": {}, "large": {"hash_table_size": 2**24, "max_resolution": 2048, "num_levels": 8}}

IMAGES, SIDE = 1000, 400  # of the large scene: 458 MiB of pixels


def limit_address_space(above: int) -> None:
    """Allow this process so many bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + above
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@contextlib.contextmanager
def control_group(limit: int) -> Iterator[Callable[[], None]]:
    """A function that puts a process into a control group with so many bytes.

    Raises:
        OSError: no group can be made here.
    """
    root = Path("/sys/fs/cgroup")
    version_1 = (root / "memory" / "memory.limit_in_bytes").exists()
    folder = (root / "memory" if version_1 else root) / f"reliability_{os.getpid()}"
    folder.mkdir()
    try:
        name = "memory.limit_in_bytes" if version_1 else "memory.max"
        (folder / name).write_text(str(limit))
        yield lambda: (folder / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        folder.rmdir()


def campaign(options: Options, outcome: Outcome) -> None:
    scene = small_run.make_scene(options.folder / "scene")
    above = (64, 128, 256, 384, 512, 768, 1024, 2048)
    tries = [(size, mib) for size in SIZES for mib in above]
    if options.quick:
        tries = [("small", 128), ("large", 1024)]
    for size, mib in tries:
        prepare = partial(limit_address_space, mib * MIB)
        one(outcome, options.folder, scene, size, f"ulimit -v, {mib} MiB more", prepare)
    if not options.quick:
        many = many_images(scene, options.folder / "many")
        for mib in (256, 768, 3072):
            prepare = partial(limit_address_space, mib * MIB)
            limit = f"{IMAGES:,} images, ulimit -v, {mib} MiB more"
            one(outcome, options.folder, many, "small", limit, prepare)
    try:
        for size, mib in (("small", 300), ("large", 1500)):
            with control_group(mib * MIB) as join:
                one(outcome, options.folder, scene, size, f"control group of {mib} MiB", join)
    except OSError as error:
        outcome.skipped.append(f"control groups: {error}")


def many_images(scene: Path, folder: Path) -> Path:
    """A scene with the cameras of another one over and over, and one file as all of its images."""
    (folder / "train").mkdir(parents=True)
    rows = np.linspace(0, 255, SIDE * SIDE * 3).astype(np.uint8).reshape(SIDE, SIDE, 3)
    first = folder / "train" / "image_0000.png"
    Image.fromarray(rows).save(first)
    content = json.loads((scene / "transforms_train.json").read_text())
    cameras = content["frames"]
    content["frames"] = []
    for number in range(IMAGES):
        name = f"train/image_{number:04d}"
        if number:
            (folder / f"{name}.png").hardlink_to(first)
        camera = cameras[number % len(cameras)]
        content["frames"].append({**camera, "file_path": name})
    (folder / "transforms_train.json").write_text(json.dumps(content))
    return folder


def one(
    outcome: Outcome, folder: Path, scene: Path, size: str, limit: str,
    prepare: Callable[[], object],
) -> None:  # fmt: skip
    """A training that ends as usual, or with a line about memory."""
    argv = small_run.arguments(scene, folder, "run", **{"max_steps": 4, **SIZES[size]})
    done = Forked(train.main, argv, folder, prepare).wait()
    fault, words = verdict(done)
    outcome.note(f"{size} tables, {limit}", fault, words)


def verdict(done: Done) -> tuple[str | None, str]:
    """What is wrong with the end of a program that had little memory, and its words."""
    if done.status == 0:
        return done.fault(0), "it is enough"
    return done.fault(2, "memory"), done.last_words
