"""Training curves: loss, PSNR, speed and learning rate over the steps."""

from __future__ import annotations

from pathlib import Path

from taichi_pynerf.extras import optional
from taichi_pynerf.files import atomic_write
from taichi_pynerf.training.log import read_log

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
    steps = [line for line in lines if "loss" in line]
    validations = [line for line in lines if "val" in line]
    axes = figure.subplots(2, 2, sharex=True)
    for panel, name, label, scale in (
        (axes[0, 0], "loss", "loss", "log"),
        (axes[0, 1], "psnr", "PSNR [dB]", "linear"),
        (axes[1, 0], "samples_per_second", "samples per second", "linear"),
        (axes[1, 1], "learning_rate", "learning rate", "log"),
    ):
        points = [(line["step"], line[name]) for line in steps if line.get(name) is not None]
        x, y = [p[0] for p in points], [p[1] for p in points]
        noisy = name in ("loss", "psnr")
        panel.plot(x, y, color="#8fb3c9" if noisy else "#1f5f7f", linewidth=1)
        if noisy:
            panel.plot(x, _smoothed(y), color="#1f5f7f", label="training batches")
        panel.set(ylabel=label, yscale=scale if y and min(y) > 0 else "linear")
        panel.grid(alpha=0.25)
    if validations:
        for scale in validations[-1]["val"]["scales"]:
            points = [
                (line["step"], line["val"]["scales"][scale]["psnr"])
                for line in validations
                if scale in line["val"]["scales"]
            ]
            axes[0, 1].plot(*zip(*points, strict=True), "o-", markersize=3, label=f"val 1/{scale}")
        axes[0, 1].legend(fontsize=8)
    for panel in axes[1]:
        panel.set_xlabel("step")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)


def _smoothed(values: list[float]) -> list[float]:
    """An exponential running mean that starts at the first value."""
    means, mean, weight = [], 0.0, 0.0
    for value in values:
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * value
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        means.append(mean / weight)
    return means
