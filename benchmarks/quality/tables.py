"""Results as Markdown: a table of rows, with published figures below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from benchmarks.quality.published import PUBLISHED
from benchmarks.quality.rows import TABLES


def markdown(table: str, results: Sequence[dict]) -> str:
    """A table with a line per row; for several seeds it has means and standard deviations.

    "MSE" is the mean over scales, or over distances, of the mean over images. The PSNR beside it is
    the same mean in dB, as in papers.

    Args:
        table: its key.
        results: of rows of this table, any seeds.
    """
    if not results:
        return f"### {TABLES[table]}\n\nNo row has been run.\n"
    columns = list(columns_of(results[0]))
    titles = ["row", *(f"{c} PSNR / SSIM" for c in columns), "mean PSNR", "mean SSIM", "MSE",
              "steps", "training", "seeds"]  # fmt: skip
    lines = [f"### {TABLES[table]}", "", _line(titles), _line(["---"] * len(titles))]
    for name in dict.fromkeys(result["row"] for result in results):
        lines.append(_line(_cells([r for r in results if r["row"] == name], columns)))
    machines = {result["machine"]["device"] for result in results}
    commits = {str(result["commit"])[:7] for result in results}
    lines += ["", f"On {'; '.join(sorted(machines))}. Commits: {', '.join(sorted(commits))}."]
    if table in PUBLISHED:
        lines += ["", _line(["published", "PSNR [dB]", "method"]), _line(["---"] * 3)]
        lines += [_line([p.method, f"{p.psnr:.2f}", p.source]) for p in PUBLISHED[table]]
    return "\n".join(lines) + "\n"


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
    return [
        *cells,
        f"**{fmean(psnrs):.2f}**{spread}",
        f"{fmean(mean_figure(result, 'ssim') for result in results):.4f}",
        f"{1e3 * mse:.3f}e-3",
        f"{math.ceil(fmean(result['steps'] for result in results))}",
        f"{fmean(result['train_seconds'] for result in results):.0f} s",
        ", ".join(str(result["seed"]) for result in results),
    ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
