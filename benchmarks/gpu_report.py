"""The report of `benchmarks/gpu_check.sh`: the results of its parts, as JSON and as Markdown.

    python -m benchmarks.gpu_report FOLDER

reads `parts.tsv`, `logs/` and `training/` there and writes `report.json` and `report.md`. Ends with
status 1 if a part failed.
"""

import json
import platform
import sys
from pathlib import Path

import torch

from taichi_pynerf.files import atomic_write_text, json_text

SHOWN_LINES = 12  # of the log of a part that failed


def collect(folder: Path) -> dict:
    """All figures of a run: the machine, the results of its parts, and their measurements."""
    parts = {}
    for line in (folder / "parts.tsv").read_text().splitlines():
        name, status, seconds, command = line.split("\t")
        parts[name] = {"status": int(status), "seconds": int(seconds), "command": command}
    metrics = folder / "training" / "metrics.json"
    return {
        "machine": machine(),
        "parts": parts,
        "training": json.loads(metrics.read_text()) if metrics.exists() else None,
        **{name: last_line(folder, name) for name in ("rendering", "steps")},
    }


def machine() -> dict[str, str]:
    """The machine that the figures were measured on."""
    facts = {
        "system": platform.platform(), "python": platform.python_version(),
        "torch": torch.__version__, "cuda": str(torch.version.cuda),
    }  # fmt: skip
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts["gpu"] = f"{properties.name}, sm_{properties.major}{properties.minor}"
        facts["gpu_memory"] = f"{properties.total_memory / 2**30:.0f} GiB"
    return facts


def last_line(folder: Path, part: str) -> dict | None:
    """The JSON that a benchmark ends with; None if it failed."""
    log = folder / "logs" / f"{part}.log"
    lines = log.read_text().splitlines() if log.exists() else []
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        return None


def markdown(report: dict, folder: Path) -> str:
    """The report for people."""
    lines = ["# Check of a machine", ""]
    lines += [f"- {name}: {value}" for name, value in report["machine"].items()]
    lines += ["", "| part | result | seconds | command |", "|---|---|---|---|"]
    for name, part in report["parts"].items():
        result = "passed" if part["status"] == 0 else f"failed ({part['status']})"
        lines.append(f"| {name} | {result} | {part['seconds']} | `{part['command']}` |")
    training, rendering, steps = (report[name] for name in ("training", "rendering", "steps"))
    if training:
        lines += ["", "## Training", "", "```json", shortened(training), "```"]
    if rendering:
        size, seconds = f"{rendering['width']} x {rendering['height']}", rendering["seconds"]
        lines += [
            "", "## Rendering", "",
            f"{size} pixels: {1e3 * seconds['packed']:.1f} ms with packed samples, "
            f"{1e3 * seconds['fused']:.1f} ms in one kernel; greatest difference of a pixel "
            f"{rendering['max_difference']:.1e}.",
        ]  # fmt: skip
    if steps:
        lines += ["", "## A step of training on the demo scene", ""]
        lines += [
            f"- {name}: {found['ms_per_step']:.1f} ms, of which {found['torch_and_rest_ms']:.1f} "
            f"outside of kernels; {found['bytes_per_step'] / 1e6:.2f} MB copied"
            for name, found in steps.items()
        ]
    for name, part in report["parts"].items():
        if part["status"]:
            log = (folder / "logs" / f"{name}.log").read_text().splitlines()[-SHOWN_LINES:]
            lines += ["", f"## {name} failed", "", "```text", *log, "```"]
    return "\n".join(lines) + "\n"


def shortened(training: dict) -> str:
    """A run's figures without those of each image."""
    return json.dumps({k: v for k, v in training.items() if k != "images"}, indent=2, default=str)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("error: give the folder of a run of benchmarks/gpu_check.sh")
    folder = Path(sys.argv[1])
    report = collect(folder)
    atomic_write_text(folder / "report.json", json_text(report, indent=2) + "\n")
    atomic_write_text(folder / "report.md", markdown(report, folder))
    failed = [name for name, part in report["parts"].items() if part["status"]]
    print(f"\nreport: {folder / 'report.md'}; failed: {', '.join(failed) or 'nothing'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
