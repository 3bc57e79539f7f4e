"""Results as Markdown: a table of rows, with published figures below."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from benchmarks.quality.published import PUBLISHED
from benchmarks.quality.rows import DEMOS, ROWS, TABLES


def markdown(
    table: str, results: Sequence[dict], state: Callable[[dict], str] | None = None
) -> str:
    """A table with a line per row; for several seeds it has means and standard deviations.

    "MSE" is the mean over scales, or over distances, of the mean over images. The PSNR beside it is
    the same mean in dB, as in papers.

    Args:
        table: its key.
        results: of rows of this table, any seeds.
        state: says of a result how its code stands to today's, for a column of its own.
    """
    if not results:
        return f"### {TABLES[table]}\n\nNo row has been run.\n{_published(table)}"
    columns = list(columns_of(results[0]))
    titles = ["row", *(f"{c} PSNR / SSIM" for c in columns), "mean PSNR", "mean SSIM", "MSE",
              "steps", "training", "seeds", "commit"]  # fmt: skip
    titles += [] if state is None else ["its code"]
    lines = [f"### {TABLES[table]}", "", _line(titles), _line(["---"] * len(titles))]
    for name in dict.fromkeys(result["row"] for result in results):
        of_row = [result for result in results if result["row"] == name]
        cells = _cells(of_row, columns)
        if state is not None:
            cells.append("; ".join(dict.fromkeys(state(result) for result in of_row)))
        lines.append(_line(cells))
    machines = sorted({_machine(result["machine"]) for result in results})
    lines += ["", f"On {'; '.join(machines)}."]
    return "\n".join(lines) + "\n" + _published(table)


def command(table: str, results: Sequence[dict] = ()) -> str:
    """The command that runs a table's rows, with the seeds and the preset of its results."""
    files = any(row.images.scene not in DEMOS for row in ROWS.values() if row.table == table)
    seeds = sorted({result["seed"] for result in results})
    own = {row.preset for row in ROWS.values() if row.table == table}
    presets = {result["declared"].get("preset", "cpu") for result in results}
    return (
        f"python -m benchmarks.quality {table}"
        + (" --data_dir path/to/scenes" if files else "")
        + (f" --seeds {' '.join(map(str, seeds))}" if seeds not in ([], [0]) else "")
        + "".join(f" --preset {preset}" for preset in presets - own if len(presets) == 1)
    )


def columns_of(result: dict) -> dict[str, dict[str, float]]:
    """{"1/2" or "distance 5.2": {"psnr", "ssim", "mse"}}: the figures that a row's mean is of."""
    tests = result["tests"]
    if list(tests) == ["test"]:
        return {f"1/{scale}": values for scale, values in tests["test"]["scales"].items()}
    return tests


def mean_figure(result: dict, name: str) -> float:
    """The mean of a figure over the row's columns."""
    return fmean(values[name] for values in columns_of(result).values())


def _cells(results: list[dict], columns: list[str]) -> list[str]:
    found = [columns_of(result) for result in results]
    cells = [results[0]["declared"]["label"]]
    for column in columns:
        psnr, ssim = (fmean(c[column][name] for c in found) for name in ("psnr", "ssim"))
        cells.append(f"{psnr:.2f} / {ssim:.4f}")
    psnrs = [mean_figure(result, "psnr") for result in results]
    spread = f" ± {stdev(psnrs):.2f}" if len(psnrs) > 1 else ""
    mse = fmean(mean_figure(result, "mse") for result in results)
    commits = dict.fromkeys(str(result["commit"])[:7] for result in results)
    return [
        *cells,
        f"**{fmean(psnrs):.2f}**{spread}",
        f"{fmean(mean_figure(result, 'ssim') for result in results):.4f}",
        f"{1e3 * mse:.3f}e-3",
        f"{math.ceil(fmean(result['steps'] for result in results))}",
        f"{fmean(result['train_seconds'] for result in results):.0f} s",
        ", ".join(str(result["seed"]) for result in results),
        ", ".join(commits),
    ]


def _machine(machine: dict) -> str:
    """A machine in words."""
    parts = [machine["device"]]
    if "processors" in machine:
        parts.append(f"{machine['processors']} processors")
    parts += [f"{name} {machine[name]}" for name in ("torch", "taichi") if name in machine]
    return ", ".join(parts)


def _published(table: str) -> str:
    """The published figures of a table, if there are any, after an empty line."""
    if table not in PUBLISHED:
        return ""
    lines = ["", _line(["published", "PSNR [dB]", "source"]), _line(["---"] * 3)]
    lines += [_line([p.method, f"{p.psnr:.2f}", p.source]) for p in PUBLISHED[table]]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
