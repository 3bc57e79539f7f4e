"""PSNR over a training: a few fixed test views, at training times that double.

Testing pauses the training. It changes nothing of it, not a bit of the weights, and its time does
not count. The points are in a file beside the checkpoint that is written whole or not at all, so a
training that is killed at any moment goes on with those up to its checkpoint.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from benchmarks.quality.tables import columns_of
from taichi_pynerf.data.datasets import MultiScaleDataset
from taichi_pynerf.errors import ConfigError, RunWarning
from taichi_pynerf.evaluation.evaluation import evaluate
from taichi_pynerf.evaluation.metrics import compute_psnr
from taichi_pynerf.files import atomic_write_text, json_text, remove_leftovers
from taichi_pynerf.training.trainer import PyNeRFTrainer

FILE_NAME = "curve.json"
FIRST_SECONDS = 10.0
"""Training time of the first point; each next one is after twice the time."""
NUM_VIEWS = 4
"""Views that are tested, of each scale or distance, evenly spread."""


class Curve:
    """The curve of one training, kept in a file.

    Until the end of a training the weights are tested as they are. With `average_weights` the model
    gets the mean of its weights only at the end: then there are two points at the end, before the
    mean is taken and, marked "end", after it.

    Args:
        folder: of the training.
        tests: {label: test images}; a few of each are used.
        step: where the training begins or goes on; what the file has beyond is dropped.
        commit: of the code that trains now.

    Attributes:
        points: {"steps", "num_samples", "seconds", "end", "psnr": {column: dB}, "mean_psnr"} in the
            order of training; columns as in the tables.

    Raises:
        ConfigError: the folder has a file of that name that is no curve.
    """

    def __init__(
        self,
        folder: Path,
        tests: Mapping[str, MultiScaleDataset],
        step: int = 0,
        commit: str | None = None,
    ):
        self.path = folder / FILE_NAME
        self.tests = {label: (set_, some_views(set_, NUM_VIEWS)) for label, set_ in tests.items()}
        self.views = {
            label: sorted({dataset.names[view] for view in views})
            for label, (dataset, views) in self.tests.items()
        }
        remove_leftovers(folder, [FILE_NAME])
        known = read_curve(self.path) if step and self.path.exists() else None
        if known is None or known["views"] != self.views:  # another number of them, long ago
            known = {"commits": [], "points": []}
        self.commits = [c for c in known["commits"] if c != commit] + [commit]
        self.points = [point for point in known["points"] if point["steps"] <= step]

    def content(self) -> dict:
        """All of it, in plain values: the views' names, the commits of the code, the points."""
        return {"views": self.views, "commits": self.commits, "points": self.points}

    def on_step(self, trainer: PyNeRFTrainer, _: object = None) -> None:
        """Test, if it is time; for `PyNeRFTrainer.train`."""
        if trainer.progress_made() >= 1:
            due = trainer.average.count > 0  # else these are the weights of the end
        else:
            due = trainer.train_seconds >= self.next_mark()
        if due and not trainer.stop_requested:  # who stops it does not wait for a test
            self.test(trainer, end=False)

    def end(self, trainer: PyNeRFTrainer) -> None:
        """Test the model as the finished training leaves it, unless that has been done."""
        if not any(point["end"] for point in self.points):
            self.test(trainer, end=True)

    def next_mark(self) -> float:
        """Seconds of training after which the next point is due."""
        mark, last = FIRST_SECONDS, self.points[-1]["seconds"] if self.points else 0.0
        while mark <= last:
            mark *= 2
        return mark

    def test(self, trainer: PyNeRFTrainer, end: bool) -> None:
        """Add a point, and write the file."""
        found = {
            label: evaluate(trainer.model.eval(), dataset, views, {"psnr": compute_psnr})
            for label, (dataset, views) in self.tests.items()
        }
        psnr = {name: figures["psnr"] for name, figures in columns_of({"tests": found}).items()}
        self.points.append(
            {
                "steps": trainer.step,
                "num_samples": trainer.num_samples,
                "seconds": trainer.train_seconds,
                "end": end,
                "psnr": psnr,
                "mean_psnr": fmean(psnr.values()),
            }
        )
        self.write()

    def write(self) -> None:
        """Write the file. If that fails, a `RunWarning` says so: no training is lost for it."""
        try:
            atomic_write_text(self.path, json_text(self.content(), indent=1) + "\n")
        except OSError as error:
            warnings.warn(
                f"{self.path}: {error.strerror or error}; the training goes on, and its curve is "
                "written with the next point",
                RunWarning,
                stacklevel=2,
            )


def read_curve(path: Path) -> dict:
    """The content of a curve's file.

    Raises:
        ConfigError: it is no curve.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for point in content["points"]:
            float(point["steps"] + point["num_samples"] + point["seconds"] + point["end"])
        if not isinstance(content["commits"], list) or not isinstance(content["views"], dict):
            raise ValueError
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f"{path}: this is no curve of a training; remove it") from None
    return content


def some_views(dataset: MultiScaleDataset, num_views: int) -> list[int]:
    """Indices of so many images of each scale, evenly spread; of all if 0."""
    chosen = []
    for scale in dataset.scales.unique().tolist():
        indices = (dataset.scales == scale).nonzero().squeeze(-1).tolist()
        count = min(num_views or len(indices), len(indices))
        chosen += [indices[i * len(indices) // count] for i in range(count)]
    return chosen
