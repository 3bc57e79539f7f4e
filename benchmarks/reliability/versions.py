"""The tests on the oldest and the newest Python, with the oldest and the newest packages.

For each corner a virtual environment is made by uv, with the least versions that `pyproject.toml`
allows or the newest. Then all tests that are not slow run in it. A corner takes some gigabytes, as
torch's packages for Linux hold CUDA, and is kept in `outputs/versions`. Interpreters are looked for
among pyenv's, and by the names `python3.10` and `python3.13`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import ROOT

KEPT = Path("outputs/versions")
CORNERS = {
    "oldest": ("3.10", "lowest-direct"),
    "oldest Python, newest packages": ("3.10", "highest"),
    "newest Python, oldest packages": ("3.13", "lowest-direct"),
    "newest": ("3.13", "highest"),
}
QUICK_TESTS = ("tests/test_config.py", "tests/ops")
SHOWN = ("torch", "numpy", "pillow", "taichi", "viser", "pycolmap")


def campaign(options: Options, outcome: Outcome) -> None:
    if importlib.util.find_spec("uv") is None:
        outcome.skipped.append("all corners: pip install uv")
        return
    found: dict[str, dict[str, str]] = {}
    outcome.figures = {"versions": found}
    for name, (python, resolution) in CORNERS.items():
        interpreter = interpreter_of(python)
        if interpreter is None:
            outcome.skipped.append(f"{name}: Python {python} is not here")
            continue
        folder = KEPT / f"{python}-{resolution}"
        fault = _installed(folder, interpreter, resolution)
        if fault is None:
            found[name] = {"python": python, **_versions(folder)}
            tests = list(QUICK_TESTS) if options.quick else ["-m", "not slow"]
            outcome.note(f"{name}: Python {python}", *run_tests(folder / "bin/python", tests))
        else:
            outcome.note(f"{name}: Python {python}", f"it cannot be installed: {fault}")


def interpreter_of(python: str) -> Path | None:
    """pyenv's newest interpreter of a version "3.10", or the one on the path; None if absent."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    ours = [path for path in root.glob(f"{python}.*/bin/python") if path.exists()]
    if ours:  # those that pyenv puts on the path refuse to start unless they are chosen
        return max(ours, key=lambda path: int(path.parts[-3].rpartition(".")[2]))
    there = shutil.which(f"python{python}")
    return None if there is None else Path(there)


def run_tests(python: Path, arguments: list[str]) -> tuple[str | None, str]:
    """Run pytest with an interpreter: a fault, and its last line."""
    command = [str(python.absolute()), "-m", "pytest", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    last = next((line for line in reversed(lines) if re.search(r"\d+ passed", line)), "")
    if done.returncode:
        return f"{len(failed)} failed: {' | '.join(failed[:20])} {done.stderr[-300:]}", last
    return None, last.strip("= ")


def _installed(folder: Path, interpreter: Path, resolution: str) -> str | None:
    """Make an environment with the project and what its tests need; the fault, if it fails."""
    uv = [sys.executable, "-m", "uv"]
    python = str((folder / "bin/python").absolute())
    commands = [
        [*uv, "venv", "--allow-existing", "-q", "-p", str(interpreter), str(folder)],
        [*uv, "pip", "install", "-q", "--python", python, "--resolution", resolution,
         "-e", f"{ROOT}[test]"],
    ]  # fmt: skip
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return " ".join(done.stderr.split())[-300:]
    return None


def _versions(folder: Path) -> dict[str, str]:
    """{package: version} of those that matter most."""
    command = [sys.executable, "-m", "uv", "pip", "list", "--format", "json", "--python"]
    done = subprocess.run(
        [*command, str((folder / "bin/python").absolute())], capture_output=True, text=True
    )
    return {one["name"]: one["version"] for one in json.loads(done.stdout) if one["name"] in SHOWN}
