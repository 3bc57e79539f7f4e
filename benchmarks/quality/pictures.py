"""Pictures of curves: PSNR over training time and over samples, with published figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.quality.curves import FILE_NAME, read_curve
from benchmarks.quality.page import RESULT, read_result
from benchmarks.quality.published import PUBLISHED
from benchmarks.quality.rows import ROWS, TABLES
from benchmarks.quality.tables import mean_figure
from taichi_pynerf.extras import optional
from taichi_pynerf.files import atomic_write

COLORS = ("#1f5f7f", "#c8553d", "#588157", "#8d5a97", "#b08900", "#3d3d3d")
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

    A large dot is the model at the end, on the views of the curve; a star the same model on all
    test views, as in the tables. The dashed lines are what others have published.

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
        panel.plot(x[-1:], y[-1:], "o", color=color, markersize=7)
        if run.tested is not None:
            panel.plot(
                x[-1:], [run.tested], "*", color=color, markersize=12, markeredgecolor="white"
            )


def _name_lines(panel: Any, figures: Mapping[str, float]) -> None:
    """Write names to the right of a panel, beside their lines and apart from each other."""
    low, high = panel.get_ylim()
    panel.set_ylim(low, high)
    least, places = LABEL_GAP * (high - low), []
    for value in sorted(figures.values()):
        places.append(max(value, places[-1] + least) if places else value)
    excess = (places[-1] - high) if places else 0.0
    places = [place - max(excess, 0.0) for place in places]
    for (name, value), place in zip(
        sorted(figures.items(), key=lambda item: item[1]), places, strict=True
    ):
        panel.annotate(
            f"{name}  {value:.2f}", xy=(1, value), xytext=(1.03, place), fontsize=7.5,
            xycoords=("axes fraction", "data"), textcoords=("axes fraction", "data"),
            va="center", color="0.25", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6},
        )  # fmt: skip
