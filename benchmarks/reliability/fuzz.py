"""Coverage-guided fuzzing of every parser, from good files.

Each parser, or each of `--part PARSER`, runs in a process of its own under atheris, for 10 minutes
or `--minutes`. A file is used, with sound values, or refused in one line of the project's own;
anything else is a fault. The first file of each kind of fault is kept in `outputs/fuzz/PARSER`, and
the fuzzing goes on.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import ROOT
from benchmarks.reliability.fuzzing import FAULT
from benchmarks.reliability.fuzzing.parsers import PARSERS

MINUTES = 10.0
MOST_MEGABYTES = 3000
HANGS = 600  # seconds after which a file is given up
KEPT = Path("outputs/fuzz")


def campaign(options: Options, outcome: Outcome) -> None:
    if importlib.util.find_spec("atheris") is None:
        outcome.skipped.append("all parsers: pip install atheris")
        return
    chosen = options.chosen(PARSERS, PARSERS[:2] if options.quick else None)
    minutes = options.minutes or (0.1 if options.quick else MINUTES)
    runs: dict[str, int] = {}
    outcome.figures = {"files tried": runs, "minutes each": minutes}
    command = [
        sys.executable, "-m", "benchmarks.reliability.fuzzing.child", str(KEPT.absolute()),
        ",".join(chosen), f"-max_total_time={60 * minutes:.0f}",
        f"-rss_limit_mb={MOST_MEGABYTES}", f"-timeout={HANGS}", f"-report_slow_units={HANGS}",
        "-print_final_stats=1",
        "-max_len=65536", "-len_control=0", f"-seed={options.seed + 1}",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            parser, status = line.split()
            text = (KEPT / parser / "log.txt").read_text(errors="replace")
            stats = dict(x[6:].split(":") for x in text.splitlines() if x[:6] == "stat::")
            runs[parser] = int(stats.get("number_of_executed_units", "0"))
            fault = " | ".join(_faults(text))[:1500]
            if status != "0" and not fault:
                fault = f"status {status}: {text[-200:]}"
            outcome.note(f"{parser}, {minutes:g} minutes", fault or None, f"{runs[parser]} files")
    if child.returncode:
        outcome.note("the fuzzer", f"status {child.returncode}")


def _faults(text: str) -> Iterator[str]:
    """What a child's standard error says of faults: its own lines, and those of libFuzzer."""
    for line in text.splitlines():
        if line.startswith(FAULT):
            yield line[len(FAULT) :]
        elif "ERROR: " in line or "Test unit written" in line:
            yield line
