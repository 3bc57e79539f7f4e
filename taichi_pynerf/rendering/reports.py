"""Metrics as files: JSON for programs, CSV for spreadsheets, Markdown for reading."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from taichi_pynerf.files import atomic_write_text, json_text

HEADINGS = {
    "psnr": "PSNR ↑",
    "ssim": "SSIM ↑",
    "psnr_exif": "PSNR, exposed by EXIF ↑",
    "ssim_exif": "SSIM, exposed by EXIF ↑",
    "psnr_fitted": "PSNR, right half, colours fitted on the left ↑",
    "ssim_fitted": "SSIM, right half, colours fitted on the left ↑",
    "lpips_alex": "LPIPS (AlexNet) ↓",
    "lpips_vgg": "LPIPS (VGG16) ↓",
    "lpips_squeeze": "LPIPS (SqueezeNet) ↓",
}


def write_reports(folder: str | Path, summary: dict, facts: dict) -> str:
    """Write metrics.json, metrics.csv and metrics.md.

    Args:
        folder: folder for the files.
        summary: result of `evaluation.summarise`.
        facts: other content of metrics.json, written before the metrics.

    Returns:
        The Markdown table.
    """
    folder = Path(folder)
    names = metric_names(summary)
    table = metrics_table({"": summary})
    rows = [["name", "scale", *names]]
    rows += [
        [image["name"], image["scale"], *(_cell(image[name]) for name in names)]
        for image in summary["images"]
    ]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    atomic_write_text(folder / "metrics.json", json_text({**facts, **summary}, indent=2) + "\n")
    atomic_write_text(folder / "metrics.csv", text.getvalue())
    atomic_write_text(folder / "metrics.md", table)
    return table


def metric_names(summary: dict) -> list[str]:
    """The metrics in a summary."""
    return [name for name in summary if name not in ("scales", "images")]


def metrics_table(summaries: dict[str, dict]) -> str:
    """A Markdown table with a row for each metric, or each run and metric, and a column per scale.

    Args:
        summaries: {run: result of `evaluation.summarise`}, with the same metrics and scales; one
            run may have no name.
    """
    first = next(iter(summaries.values()))
    scales = list(first["scales"])
    scale_names = ["full" if scale == "1" else f"1/{scale}" for scale in scales]
    scale_names += ["mean"] if len(scales) > 1 else []
    named = any(summaries)
    rows = []
    for metric in metric_names(first):
        for run, summary in summaries.items():
            values = [summary["scales"][scale][metric] for scale in scales]
            values += [summary[metric]] if len(scales) > 1 else []
            cells = [_figure(metric, value) for value in values]
            rows.append([HEADINGS.get(metric, metric), *([run] if named else []), *cells])
    num_words = 2 if named else 1
    return markdown_table([*[""] * num_words, *scale_names], rows, num_words)


def markdown_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], num_words: int = 1
) -> str:
    """Lines of a Markdown table: `num_words` columns of text, then columns of numbers."""
    rules = ["---" if column < num_words else "---:" for column in range(len(headings))]
    lines = [headings, rules, *rows]
    return "".join("| " + " | ".join(_escaped(cell) for cell in line) + " |\n" for line in lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _figure(metric: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞"
    return f"{value:.2f}" if metric.startswith("psnr") else f"{value:.4f}"


def _cell(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"
