"""Train and test one row; the results and everything that they depend on go into one JSON file.

A finished row is not run again, and one that was interrupted continues from its checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import taichi
import torch

from benchmarks.quality.curves import Curve, some_views
from benchmarks.quality.page import RESULT
from benchmarks.quality.rows import DEMOS, LOSSMULT, ROWS, Images, Row
from taichi_pynerf import PyNeRF, runtime
from taichi_pynerf.data.datasets import MultiScaleDataset
from taichi_pynerf.data.loading import scene_splits
from taichi_pynerf.demo.scene import demo_scene_dir
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.evaluation.evaluation import METRICS, evaluate
from taichi_pynerf.files import atomic_write_text, json_text
from taichi_pynerf.model.occupancy import TrainedLevels
from taichi_pynerf.runs.checkpoint import FILE_NAME, model_from_checkpoint, read_checkpoint
from taichi_pynerf.training.losses import PyNeRFLoss
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.training.setup import fitted_preset, with_limit

NUM_DEMO_TESTS = 8  # per distance
FIGURES = {"mse": lambda x, y: (x - y).square().mean().item(), **METRICS}


class UnweightedLoss(PyNeRFLoss):
    """The loss in which every pixel has the same weight, whatever its area."""

    def forward(self, outputs: dict, targets: dict) -> dict[str, torch.Tensor]:
        ones = torch.ones_like(targets["weights"])
        return super().forward(outputs, {**targets, "weights": ones})


def run_row(
    name: str,
    output_dir: Path,
    data_dir: Path | None = None,
    seed: int = 0,
    preset: str | None = None,
    rows: dict[str, Row] = ROWS,
    progress: bool = True,
) -> dict:
    """The result of a row: read if it is finished, else found and written.

    Args:
        name: of the row.
        output_dir: results are in `output_dir/name/seed<seed>/result.json`.
        data_dir: the folder that holds the scenes' folders; demo scenes need none.
        seed: of all randomness.
        preset: settings that the row's own come on top of, in place of its own preset.
        rows: where the row, and the one whose model it tests, are looked up.

    Returns:
        {"row", "seed", "declared", "config", "commit", "machine", …, "curve", "tests": {label:
        figures}} with the figures that `evaluate` gives, and "mse". "commits" are those of all
        processes that trained. The curve is that of `Curve.content`; a row that tests another's
        model has none.

    Raises:
        ConfigError: an unknown row, a finished one that was declared differently, or a row on
            files without `data_dir`.
        KeyboardInterrupt: it was told to stop while it trained; the checkpoint is written.
    """
    if name not in rows:
        raise ConfigError(f"unknown row {name!r}: --list names them")
    row, folder = rows[name], output_dir / name / f"seed{seed}"
    preset = preset or row.preset
    declared = {**dataclasses.asdict(row), "preset": preset}
    declared = json.loads(json_text(declared))  # as it will be read back
    path = folder / RESULT
    if path.exists():
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["declared"] != declared:
            raise ConfigError(
                f"{path}: is of a row that was declared differently; remove it, or choose another "
                "--output_dir"
            )
        return result

    row_of_model = row.trained_as or name
    code = surroundings()  # while the row trains, the checkout may change
    images = test_images(row.images, data_dir)
    trainer, curve = train(
        rows[row_of_model], output_dir / row_of_model / f"seed{seed}", data_dir, images, seed,
        preset, code["commit"], progress,
    )  # fmt: skip
    model = trainer.model.eval()
    if not row.clamp:  # a fresh grid knows of no level, and clamps none
        levels = model.trained_levels
        levels.load_state_dict(TrainedLevels(levels.resolution).state_dict())
    tests = {
        label: evaluate(model, dataset, some_views(dataset, row.num_test), FIGURES,
                        progress=progress)
        for label, dataset in images.items()
    }  # fmt: skip
    result = {
        "row": name,
        "seed": seed,
        "declared": declared,
        "config": trainer.config.to_dict(),
        "resolutions": list(model.field.resolutions),
        **code,
        "commits": curve.commits,
        "steps": trainer.step,
        "train_seconds": round(trainer.train_seconds, 2),
        "num_samples": trainer.num_samples,
        "curve": None if row.trained_as else curve.content(),
        "tests": tests,
    }
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, json_text(result, indent=1) + "\n")
    return result


def train(
    row: Row,
    folder: Path,
    data_dir: Path | None,
    tests: dict[str, MultiScaleDataset],
    seed: int,
    preset: str,
    commit: str | None,
    progress: bool,
) -> tuple[MultiScaleTrainer, Curve]:
    """The trainer of a row when it has finished; it goes on from a checkpoint in the folder.

    Args:
        tests: {label: test images}, for the curve.
        commit: of the code.
    """
    dataset = MultiScaleDataset(
        scene_folder(row.images, data_dir, row.images.train_distances, row.images.num_train),
        "train", row.images.train_scales, row.images.img_downscale, white_background=True,
        sampling="halved" if row.images.reduced_too else LOSSMULT[row.lossmult],
    )  # fmt: skip
    checkpoint = folder / FILE_NAME
    begun = read_checkpoint(checkpoint) if checkpoint.exists() else None
    if begun:
        model = model_from_checkpoint(begun, checkpoint)
    else:
        limit = {"max_steps": row.max_steps}
        if row.max_seconds:
            limit = with_limit({"max_seconds": row.max_seconds})
        config = fitted_preset(preset, dataset, seed=seed, val_interval=0, **limit, **row.settings)
        model = PyNeRF(config)
    loss = UnweightedLoss(model.config) if row.lossmult == "off" else None
    trainer = MultiScaleTrainer(
        model, train_dataset=dataset, loss=loss, output_dir=folder, progress=progress,
        scale_schedule=row.scale_schedule,
    )  # fmt: skip
    if begun:
        trainer.load_state_dict(begun.get("training"))
    curve = Curve(folder, tests, trainer.step, commit)
    if not trainer.finished():
        curve.write()  # without the points that are trained again
        with stopped_by_signals(trainer):
            trainer.train(on_step=curve.on_step)
        trainer.save()
        if trainer.stop_requested:
            raise KeyboardInterrupt
    curve.end(trainer)
    return trainer, curve


@contextlib.contextmanager
def stopped_by_signals(trainer: MultiScaleTrainer) -> Iterator[None]:
    """Ctrl-C, or the end of a batch system's patience, lets the step in hand finish."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}
    for number in signals:
        signal.signal(number, lambda *_: trainer.request_stop())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_images(images: Images, data_dir: Path | None) -> dict[str, MultiScaleDataset]:
    """{label: test images}; by distance where the row tests several."""
    folders = {"test": scene_folder(images, data_dir, images.train_distances, images.num_train)}
    scales = images.scales
    if images.test_distances:
        scales = (1,)
        folders = {
            f"distance {distance:g}": scene_folder(images, data_dir, (distance,), 1)
            for distance in images.test_distances
        }
    return {
        label: MultiScaleDataset(
            folder, "test" if "test" in scene_splits(folder) else "val", scales,
            images.img_downscale, white_background=True,
        )
        for label, folder in folders.items()
    }  # fmt: skip


def scene_folder(
    images: Images, data_dir: Path | None, distances: tuple[float, ...], num_train: int
) -> Path:
    """Where the images are; a demo scene is made if it is not there."""
    if images.scene not in DEMOS:
        if data_dir is None:
            raise ConfigError(
                f"{images.scene} is on files: name the folder around it by --data_dir"
            )
        return data_dir / images.scene
    scene = DEMOS[images.scene]
    if not distances:
        return demo_scene_dir(scene=scene, resolution=images.resolution)
    return demo_scene_dir(
        scene=scene, resolution=images.resolution, distances=distances, num_train=num_train,
        num_val=1, num_test=NUM_DEMO_TESTS,
    )  # fmt: skip


def surroundings() -> dict:
    """Which code made a result, when, and on what machine."""

    def git(*arguments: str) -> str | None:
        found = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return found.stdout.strip() if found.returncode == 0 else None

    return {
        "commit": git("rev-parse", "HEAD"),
        "changed_files": git("status", "--porcelain", "--untracked-files=no"),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "device": runtime.device_name(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "taichi": ".".join(map(str, taichi.__version__)),
        },
    }
