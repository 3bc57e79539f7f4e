"""The run that campaigns break: the demo scene in tiny images, trained for seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.reliability.children import Forked
from taichi_pynerf import runtime
from taichi_pynerf.demo.scene import DemoSceneSettings, make_demo_scene
from taichi_pynerf.errors import CheckpointError
from taichi_pynerf.runs.checkpoint import FILE_NAME, read_checkpoint
from taichi_pynerf.training.log import FILE_NAME as LOG_NAME
from taichi_pynerf.training.log import read_log

STEPS = 40
SETTINGS = {
    "num_levels": 3, "max_resolution": 64, "hash_table_size": 2**11, "features_per_level": 2,
    "hidden_dim": 16, "occupancy_resolution": 32, "batch_size": 128, "samples_per_batch": 2048,
    "max_steps": STEPS, "val_interval": 4, "checkpoint_interval": 0.05,
}  # fmt: skip


def make_scene(folder: Path) -> Path:
    """Write the scene, in a process of its own: this one must not start Taichi."""
    settings = DemoSceneSettings(
        resolution=16, num_train=8, num_val=2, num_test=3, samples_per_pixel=4
    )

    def make(_: list[str]) -> None:
        runtime.start("cpu")
        make_demo_scene(folder, **vars(settings))

    done = Forked(make, [], folder.parent).wait()
    if done.status:
        raise RuntimeError(f"the scene could not be made: {done.last_words}")
    return folder


def arguments(scene: Path, output_dir: Path, name: str = "run", **settings: Any) -> list[str]:
    """The command line of a new training."""
    flags = ["--data_dir", str(scene), "--output_dir", str(output_dir), "--experiment_name", name]
    for key, value in {**SETTINGS, **settings}.items():
        flags += [f"--{key}", str(value)]
    return [*flags, "--backend", "cpu", "--no-tensorboard"]


def bits_of(run_dir: Path) -> str:
    """A digest of all that a run's next step depends on, time aside."""
    content = read_checkpoint(run_dir)
    content["training"].pop("train_seconds")
    digest = hashlib.sha256()
    for name, value in _leaves({"model": content["model"], "training": content["training"]}):
        digest.update(name.encode())
        if torch.is_tensor(value):
            digest.update(np.ascontiguousarray(value.numpy()).tobytes())
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def step_of(run_dir: Path) -> int | None:
    """The step of a run's checkpoint; None without one."""
    if not (run_dir / FILE_NAME).exists():
        return None
    return int(read_checkpoint(run_dir)["training"]["step"])


def log_steps(run_dir: Path) -> list[int]:
    """The steps of a run's log, of which none must be there twice."""
    return [line["step"] for line in read_log(run_dir / LOG_NAME) if "val" not in line]


def unreadable(run_dir: Path) -> str | None:
    """The first file of a run folder that cannot be read; None if all can."""
    if not run_dir.exists():
        return None
    for path in sorted(run_dir.iterdir()):
        try:
            if path.name == FILE_NAME:
                read_checkpoint(path)
            elif path.name.startswith("."):
                continue
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".png":
                with Image.open(path) as image:
                    image.load()
        except (CheckpointError, OSError, ValueError) as error:
            return f"{path.name} cannot be read: {error}"
    return None


def leftovers(run_dir: Path) -> list[str]:
    """The temporary files in a run folder."""
    names = (path.name for path in run_dir.iterdir()) if run_dir.exists() else ()
    return sorted(name for name in names if name.startswith("."))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from _leaves(value[key], f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{name}.{number}")
    else:
        yield name, value
