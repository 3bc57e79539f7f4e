"""Coverage-guided fuzzing of every parser, from a good file.

Each parser runs in a process of its own under atheris, for 10 minutes or `--minutes`. A file is
used or refused with the project's own error; anything else is a crash, and its file is kept.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import ROOT
from benchmarks.reliability.fuzz_parsers import PARSERS

MINUTES = 10.0
MOST_MEGABYTES = 3000
SLOWEST = 30  # seconds for one file


def campaign(options: Options, outcome: Outcome) -> None:
    if importlib.util.find_spec("atheris") is None:
        outcome.skipped.append("all parsers: pip install atheris")
        return
    minutes = options.minutes or (0.1 if options.quick else MINUTES)
    runs = {}
    for parser in PARSERS[:2] if options.quick else PARSERS:
        found = options.folder / parser
        found.mkdir()
        crashes = Path("outputs/fuzz") / parser
        crashes.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "benchmarks.reliability.fuzz_child", parser, str(found),
            f"-max_total_time={60 * minutes:.0f}", f"-rss_limit_mb={MOST_MEGABYTES}",
            f"-timeout={SLOWEST}", f"-artifact_prefix={crashes}/", "-print_final_stats=1",
            "-max_len=65536", f"-seed={options.seed + 1}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, cwd=ROOT)
        text = done.stderr.decode(errors="replace")
        stats = dict(
            line.removeprefix("stat::").split(":")
            for line in text.splitlines()
            if line.startswith("stat::")
        )
        runs[parser] = int(stats.get("number_of_executed_units", "0"))
        fault = None
        if done.returncode:
            signs = ("Error", "ERROR", "Test unit")
            lines = [x for x in text.splitlines() if any(sign in x for sign in signs)]
            fault = " | ".join(lines[-4:])[-400:] or f"status {done.returncode}: {text[-200:]}"
        outcome.note(f"{parser}, {minutes:g} minutes", fault, f"{runs[parser]} files")
    outcome.figures = {"files tried": runs, "minutes each": minutes}
