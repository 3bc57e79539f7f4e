"""The preparation of a training from a scene, for the command line and for Python alike."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from taichi_pynerf.config import UNLIMITED_STEPS, PyNeRFConfig
from taichi_pynerf.data.datasets import Dataset, MultiScaleDataset
from taichi_pynerf.errors import ConfigError, RunWarning
from taichi_pynerf.files import atomic_write_text, json_text, put_in_place, remove_leftovers
from taichi_pynerf.model.encodings import table_bytes
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.presets import SEVERAL_SCALES_PRESETS
from taichi_pynerf.runs.checkpoint import FILE_NAME as CHECKPOINT_NAME
from taichi_pynerf.runs.scene_source import SceneSource
from taichi_pynerf.runtime.memory import known_free_memory
from taichi_pynerf.settings import settings_of
from taichi_pynerf.training.log import FILE_NAME as LOG_NAME
from taichi_pynerf.training.log import TENSORBOARD_FOLDER
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.training.scene_fit import fit_to_scene
from taichi_pynerf.training.trainer import PyNeRFTrainer

LEAST_TABLE = 2**10
WORKING_BYTES = 256 * 2**20
"""Memory of a step and of the final test, roughly."""

DEMO_STEPS = 1000
"""Steps after which the built-in demo scene is good enough to look at."""

WRITTEN_LATER = (LOG_NAME, "metrics.json", "preview.png", "curves.png")
"""Files that a run writes as it trains and when it ends."""

EARLIER_NAME = "checkpoint_before.pth"
"""The checkpoint of the run that had the name before."""

RUN_FILES = (*WRITTEN_LATER, "config.json", CHECKPOINT_NAME)
"""All files of a run folder."""

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that end a training in good order. Windows has no SIGHUP."""


def preset_for(backend: str) -> str:
    """The preset of a backend: "gpu" on CUDA, else "cpu"."""
    return "gpu" if backend == "cuda" else "cpu"


def with_limit(settings: dict[str, Any], is_demo: bool = False) -> dict[str, Any]:
    """The caller's settings, and the limit of steps that follows from them.

    Seconds alone are the only limit then. The demo scene has few steps by default.
    """
    if settings.get("max_seconds"):
        return {"max_steps": UNLIMITED_STEPS, **settings}
    return {"max_steps": DEMO_STEPS, **settings} if is_demo else settings


def fitted_preset(preset: str, dataset: Dataset, **settings: Any) -> PyNeRFConfig:
    """A preset with the caller's settings on top, fitted to the training images.

    Args:
        preset: one of `PRESETS`.
        dataset: the training images.
        settings: fields of `PyNeRFConfig`.

    Raises:
        ConfigError: an unknown preset or setting, or a bad value.
    """
    if dataset.unbounded and len(dataset.scales.unique()) > 1:
        settings = {**SEVERAL_SCALES_PRESETS.get(preset, {}), **settings}
    config = PyNeRFConfig.preset(preset, **settings, unbounded=dataset.unbounded)
    return fit_to_scene(config, dataset)


def check_settings(preset: str, *, of_unbounded: bool = False, **settings: Any) -> None:
    """Refuse wrong settings before any image is read.

    Args:
        preset: one of `PRESETS`.
        of_unbounded: whether the scene is unbounded, if that is known yet.
        settings: fields of `PyNeRFConfig` that the caller gives.

    Raises:
        ConfigError: as for `fitted_preset`, or for a setting that only the scene may give.
    """
    known = settings_of(PyNeRFConfig)
    of_scene = [name for name in settings if name in known and known[name].of_scene]
    if of_scene:
        raise ConfigError(f"{of_scene[0]} cannot be set: the scene gives it")
    PyNeRFConfig.preset(preset, **settings, unbounded=of_unbounded)


def check_memory(config: PyNeRFConfig, device: torch.device) -> None:
    """Refuse a training whose tables cannot fit the memory, before the system ends the process.

    Where the system does not tell what is free, nothing is refused.

    Raises:
        ConfigError: they do not fit; the message says what would.
    """
    free = known_free_memory(device)
    if free is None or training_bytes(config) <= free:
        return
    size = config.hash_table_size
    while size > LEAST_TABLE and training_bytes(config.replace(hash_table_size=size)) > free:
        size //= 2
    fits = training_bytes(config.replace(hash_table_size=size)) <= free
    advice = f"--hash_table_size {size} would fit" if fits else "no table would fit"
    raise ConfigError(
        f"training needs {training_bytes(config) / 2**30:.2f} GiB of memory beside the images, and "
        f"{free / 2**30:.2f} GiB are free: end other programs, or reduce the images "
        f"(--img_downscale) or the tables ({advice})"
    )


def training_bytes(config: PyNeRFConfig) -> int:
    """Memory that a training needs besides images, in bytes: tables, grids and a step's samples."""
    # With gradient and moment, and the mean over the last part of the training.
    tables = (4 if config.average_weights else 3) * table_bytes(config)
    cascades = config.num_cascades if config.unbounded else 1
    cells = cascades * config.occupancy_resolution**3
    return tables + 5 * cells + WORKING_BYTES


def new_trainer(
    model: PyNeRF,
    config: PyNeRFConfig,
    train_dataset: Dataset,
    val_dataset: Dataset | None,
    *,
    source: SceneSource,
    scale_schedule: dict[int, int] | None = None,
    **options: Any,
) -> PyNeRFTrainer:
    """The trainer for images at one scale or at several.

    Args:
        model, config, train_dataset, val_dataset, options: as for `PyNeRFTrainer`.
        source: where the images come from, for the checkpoint.
        scale_schedule: as for `MultiScaleTrainer`; for images at several scales only.
    """
    options["scene"] = source.to_dict()
    if isinstance(train_dataset, MultiScaleDataset):
        return MultiScaleTrainer(
            model, config, train_dataset, val_dataset, scale_schedule=scale_schedule, **options
        )
    return PyNeRFTrainer(model, config, train_dataset, val_dataset, **options)


def images_in_words(train_set: Dataset) -> str:
    """How many training images there are, down to which scale, and with how many pixels."""
    scales, counts = train_set.scales.unique(return_counts=True)
    several = f" at scales 1 to 1/{int(scales[-1])}" if len(scales) > 1 else ""
    pixels = f"{train_set.num_pixels / 1e6:.1f} M pixels"
    return f"{int(counts.max())} training images{several}, {pixels}"


def clear_run_folder(run_dir: Path) -> None:
    """Make a run folder, and remove what an earlier run of that name left in it.

    The earlier run's checkpoint becomes `EARLIER_NAME`. Under its own name `--resume` would go on
    with it, if the new run ended before it has saved one.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    if (run_dir / CHECKPOINT_NAME).exists():
        put_in_place(run_dir / CHECKPOINT_NAME, run_dir / EARLIER_NAME)
    for name in WRITTEN_LATER:
        (run_dir / name).unlink(missing_ok=True)
    shutil.rmtree(run_dir / TENSORBOARD_FOLDER, ignore_errors=True)


def write_settings(run_dir: Path, config: PyNeRFConfig, source: SceneSource) -> None:
    """Write `config.json`: every setting of the run, and its scene.

    What processes that were killed left half-written in the folder is removed.
    """
    remove_leftovers(run_dir, RUN_FILES)
    settings = {"config": config.to_dict(), "scene": source.to_dict()}
    atomic_write_text(run_dir / "config.json", json_text(settings, indent=2) + "\n")


@contextlib.contextmanager
def dispensable(path: Path) -> Iterator[None]:
    """A block that writes a file which a finished training can do without.

    If the file cannot be written, a `RunWarning` says so.
    """
    try:
        yield
    except OSError as error:
        warnings.warn(
            f"{path}: {error.strerror or error}; left out, and nothing else is lost",
            RunWarning,
            stacklevel=3,
        )


@contextlib.contextmanager
def stop_on_interrupt(trainer: PyNeRFTrainer) -> Iterator[None]:
    """Let Ctrl-C finish the current step and end the training; a second Ctrl-C stops at once.

    SIGTERM, and SIGHUP when a terminal closes, count as Ctrl-C: a job that is told to leave a
    machine keeps what it learned. Python delivers signals to the main thread, so in any other
    thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        trainer.request_stop()
        # The other signals stay caught: a terminal that closes may send SIGHUP twice.
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    numbers = [getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        # A signal that is ignored stays ignored: nohup ignores SIGHUP.
        if number == signal.SIGINT or before[number] != signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
