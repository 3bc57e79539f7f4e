"""The log of a training: JSON lines, TensorBoard where it is installed, curves as a picture."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from taichi_pynerf.errors import RunWarning
from taichi_pynerf.extras import optional
from taichi_pynerf.files import atomic_write, atomic_write_text, json_text, open_to_append

FILE_NAME = "log.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
MOST_STEPS = 10**15  # a line with a step beyond that is none of ours


def require_tensorboard() -> Any:
    """TensorBoard's writer of files.

    Raises:
        MissingPackageError: it is not installed.
    """
    optional("tensorboard", "log")
    return optional("torch.utils.tensorboard", "log").SummaryWriter


class TrainingLog:
    """Writes the figures of a training, a line at a time, and pictures for TensorBoard.

    Args:
        folder: gets `log.jsonl` and the folder `tensorboard`; nothing is written if None.
        tensorboard: write TensorBoard's files too; None: if it is installed.

    Raises:
        MissingPackageError: TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: str | Path | None, tensorboard: bool | None = False):
        self.folder = None if folder is None else Path(folder)
        if tensorboard is None:
            tensorboard = find_spec("tensorboard") is not None
        self._writer_class: Any = None
        if tensorboard and self.folder is not None:
            self._writer_class = require_tensorboard()
        self._writer: Any = None
        self._failed: set[str] = set()  # the parts of which the user has been told

    def write(self, figures: dict) -> None:
        """Append one line. If that fails, a `RunWarning` says so once and training goes on.

        Args:
            figures: "step", and numbers or dicts of numbers by name. NaN and infinity are written
                as null.
        """
        if self.folder is None:
            return
        with self._may_fail(FILE_NAME), open_to_append(self.folder / FILE_NAME) as file:
            file.write(json_text(figures).encode() + b"\n")
        with self._may_fail(TENSORBOARD_FOLDER):
            for name, value in _scalars(figures) if self._writer_class is not None else ():
                self._board(figures["step"]).add_scalar(name, value, figures["step"])

    def image(self, step: int, name: str, rgb: torch.Tensor) -> None:
        """Show TensorBoard an image [H, W, 3] with values in [0, 1]."""
        if self._writer_class is not None:
            with self._may_fail(TENSORBOARD_FOLDER):
                self._board(step).add_image(name, rgb, step, dataformats="HWC")

    @property
    def wants_images(self) -> bool:
        """Whether `image` passes images on to anything."""
        return self._writer_class is not None

    def cut(self, step: int) -> None:
        """Remove the lines after a step: a training resumed from there writes them again."""
        path = None if self.folder is None else self.folder / FILE_NAME
        if path is not None and path.is_file():
            kept = [line for line in read_log(path) if line["step"] <= step]
            atomic_write_text(path, "".join(json_text(line) + "\n" for line in kept))

    def close(self) -> None:
        """Let TensorBoard write what it still buffers."""
        if self._writer is not None:
            with self._may_fail(TENSORBOARD_FOLDER):
                self._writer.close()

    @contextlib.contextmanager
    def _may_fail(self, part: str) -> Iterator[None]:
        """A block that writes a part of the log: losing that must not lose the training.

        Args:
            part: the file or folder; a failure is told once, and TensorBoard is then left alone.
        """
        try:
            yield
        except OSError as error:
            if part not in self._failed:
                gap = "its log has a gap" if part == FILE_NAME else "TensorBoard gets no more of it"
                warnings.warn(
                    f"{self.folder / part if self.folder else part}: {error.strerror or error}; "
                    f"the training goes on, and {gap}",
                    RunWarning,
                    stacklevel=4,
                )
            self._failed.add(part)
            if part == TENSORBOARD_FOLDER:
                self._writer = self._writer_class = None

    def _board(self, step: int) -> Any:
        # `purge_step` hides what an earlier process wrote from this step on.
        if self._writer is None:
            assert self.folder is not None
            folder = self.folder / TENSORBOARD_FOLDER
            if folder.is_symlink():  # of a run from elsewhere, and leads anywhere
                raise OSError(errno.ELOOP, "a link, which is not followed", str(folder))
            self._writer = self._writer_class(str(folder), purge_step=step)
        return self._writer


def read_log(path: str | Path) -> list[dict]:
    """The lines of a `log.jsonl`, without unreadable ones: a crash may have cut off the last."""
    lines = []
    for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, RecursionError):  # bad JSON, long numbers, deep lists
            content = json.loads(line)
            step = content.get("step") if isinstance(content, dict) else None
            if isinstance(step, int) and 0 <= step <= MOST_STEPS:
                lines.append(content)
    return lines


def bar_text(figures: dict, val_psnr: float | None) -> str:
    """A step's figures for the progress bar, with the PSNR of the last validation if known."""
    known = val_psnr is not None and not math.isnan(val_psnr)
    return (
        f"loss {figures['loss']:.4f}, psnr {figures['psnr']:.2f} dB, "
        + (f"val {val_psnr:.2f} dB, " if known else "")
        + f"{figures['samples_per_second'] / 1e3:.0f}k samples/s"
    )


def _scalars(figures: dict, prefix: str = "") -> Iterator[tuple[str, float]]:
    """("group/name", number) for every number in nested dicts."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and (prefix or name != "step"):
            yield (prefix or "train/") + name, value


# ---- curves -----------------------------------------------------------------------------------

_LARGEST = 1e30  # numbers beyond that (and NaN) are not drawn
_SMOOTHING = 0.6  # share of the running mean that is kept at each line of the log


def write_curves(log: str | Path, path: str | Path) -> None:
    """Draw a `log.jsonl` as a PNG with four panels.

    Args:
        log: the log file.
        path: the PNG to write.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    figure = optional("matplotlib.figure", "plots").Figure(figsize=(9, 5.5), layout="constrained")
    lines = read_log(log)
    steps = [line for line in lines if "val" not in line]
    axes = figure.subplots(2, 2, sharex=True)
    for panel, name, label, scale in (
        (axes[0, 0], "loss", "loss", "log"),
        (axes[0, 1], "psnr", "PSNR [dB]", "linear"),
        (axes[1, 0], "samples_per_second", "samples per second", "linear"),
        (axes[1, 1], "learning_rate", "learning rate", "log"),
    ):
        x, y = _points(steps, name)
        noisy = name in ("loss", "psnr")
        panel.plot(x, y, color="#8fb3c9" if noisy else "#1f5f7f", linewidth=1)
        if noisy:
            panel.plot(x, _smoothed(y), color="#1f5f7f", label="training batches")
        panel.set(ylabel=label, yscale=scale if y and min(y) > 0 else "linear")
        panel.grid(alpha=0.25)
    validations = [line for line in lines if "val" in line]
    if validations:
        known = _at(validations[-1], "val", "scales")
        scales = known if isinstance(known, dict) else ()
        for name in (name for name in scales if name.isdecimal() and len(name) < 4):
            x, y = _points(validations, "val", "scales", name, "psnr")
            axes[0, 1].plot(x, y, "o-", markersize=3, label=f"val 1/{name}")
        axes[0, 1].legend(fontsize=8)
    for panel in axes[1]:
        panel.set_xlabel("step")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)


def _at(line: Any, *names: str) -> Any:
    """A member of nested dicts; None if it is absent."""
    for name in names:
        line = line.get(name) if isinstance(line, dict) else None
    return line


def _points(lines: list[dict], *names: str) -> tuple[list[int], list[float]]:
    """Steps, and the numbers of that name. A log may come from elsewhere, and hold anything."""
    found = [(line["step"], _at(line, *names)) for line in lines]
    numbers = [
        (step, float(value))
        for step, value in found
        if isinstance(value, (int, float)) and abs(value) < _LARGEST
    ]
    return [step for step, _ in numbers], [value for _, value in numbers]


def _smoothed(values: list[float]) -> list[float]:
    """An exponential running mean that starts at the first value."""
    means, mean, weight = [], 0.0, 0.0
    for value in values:
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * value
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        means.append(mean / weight)
    return means
