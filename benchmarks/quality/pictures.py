"""Pictures of curves: PSNR over training time and over samples, with published figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.quality.curves import FILE_NAME, read_curve
from benchmarks.quality.page import RESULT, read_result
from benchmarks.quality.published import PUBLISHED
from benchmarks.quality.rows import ROWS, TABLES
from benchmarks.quality.tables import mean_figure
from taichi_pynerf.extras import optional
from taichi_pynerf.files import atomic_write

COLORS = ("#1f5f7f", "#c8553d", "#588157", "#8d5a97", "#b08900", "#3d3d3d")
RING = {"marker": "o", "markersize": 8, "fillstyle": "none", "linestyle": "none"}
STAR = {"marker": "*", "markersize": 9, "linestyle": "none"}
LABEL_GAP = 0.045  # least distance of two names, in heights of a panel


class Run(NamedTuple):
    """One training of a row.

    Attributes:
        points: as in `Curve.points`.
        tested: mean PSNR of all test views at the end, dB; None: it has not been tested.
    """

    points: list[dict]
    tested: float | None


def found_runs(output_dir: Path, table: str) -> dict[str, list[Run]]:
    """{row: its trainings} of the rows of a table that have a curve, unfinished ones too."""
    found = {}
    for name, row in ROWS.items():
        if row.table == table and not row.trained_as:
            folders = sorted((output_dir / name).glob("seed*"))
            runs = [run for folder in folders if (run := _run_in(folder)) and run.points]
            if runs:
                found[name] = runs
    return found


def _run_in(folder: Path) -> Run | None:
    result = folder / RESULT
    if result.exists():
        content = read_result(result)
        points = (content.get("curve") or {"points": []})["points"]
        return Run(points, mean_figure(content, "psnr"))
    path = folder / FILE_NAME
    return Run(read_curve(path)["points"], None) if path.exists() else None


def write_picture(table: str, runs: Mapping[str, Sequence[Run]], path: Path) -> None:
    """Draw the curves of a table's rows as a PNG.

    A ring is the model at the end, on the views of the curve; a star the same model on all test
    views, as in the tables. The dashed lines are what others have published.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    figure = optional("matplotlib.figure", "plots").Figure(figsize=(11, 4.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    figure.suptitle(TABLES[table], fontsize=11)
    for color, (name, of_row) in zip(_cycled(len(runs)), runs.items(), strict=True):
        for number, run in enumerate(of_row):
            label = ROWS[name].label if number == 0 else None
            for panel, axis in zip(panels, ("seconds", "num_samples"), strict=True):
                _draw(panel, run, axis, color, label)
    for panel, label in zip(panels, ("seconds of training", "samples trained"), strict=True):
        panel.set(xscale="log", xlabel=label)
        panel.grid(alpha=0.25)
        for published in PUBLISHED.get(table, ()):
            panel.axhline(published.psnr, color="0.45", linestyle="--", linewidth=0.8)
    panels[0].set_ylabel("PSNR [dB], mean over scales")
    if any(run.tested is not None for of_row in runs.values() for run in of_row):
        panels[0].plot([], [], color="0.3", label="end, views of the curve", **RING)
        panels[0].plot([], [], color="0.3", label="end, all test views", **STAR)
    panels[0].legend(fontsize=8, loc="lower right")
    _name_lines(panels[1], {p.method: p.psnr for p in PUBLISHED.get(table, ())})
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _cycled(number: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(number)]


def _draw(panel: Any, run: Run, axis: str, color: str, label: str | None) -> None:
    known = [point for point in run.points if point["mean_psnr"] is not None]
    x, y = [point[axis] for point in known], [point["mean_psnr"] for point in known]
    panel.plot(x, y, "o-", color=color, markersize=3, linewidth=1.2, label=label)
    if known and known[-1]["end"]:
        panel.plot(x[-1:], y[-1:], color=color, **RING)
        if run.tested is not None:
            panel.plot(x[-1:], [run.tested], color=color, **STAR)


def _name_lines(panel: Any, figures: Mapping[str, float]) -> None:
    """Write names to the right of a panel, beside their lines and apart from each other."""
    low, high = panel.get_ylim()
    panel.set_ylim(low, high)
    named = sorted(figures.items(), key=lambda item: item[1])
    places = spread([value for _, value in named], LABEL_GAP * (high - low))
    for (name, value), place in zip(named, places, strict=True):
        panel.annotate(
            f"{name}  {value:.2f}", xy=(1, value), xytext=(1.05, place), fontsize=7.5,
            xycoords=("axes fraction", "data"), textcoords=("axes fraction", "data"),
            va="center", color="0.25", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "relpos": (0, 0.5),
                        "shrinkA": 1, "shrinkB": 0},
        )  # fmt: skip


def spread(values: Sequence[float], least: float) -> list[float]:
    """Places near ascending values, with at least so much from each to the next.

    Values that are too close together are spread evenly around their mean.
    """
    groups: list[list[float]] = []
    for value in values:
        groups.append([value])
        while len(groups) > 1 and _around(groups[-1], least)[0] < (
            _around(groups[-2], least)[-1] + least
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [place for group in groups for place in _around(group, least)]


def _around(group: Sequence[float], least: float) -> list[float]:
    """As many places as values, evenly around their mean."""
    return [fmean(group) + (i - (len(group) - 1) / 2) * least for i in range(len(group))]
