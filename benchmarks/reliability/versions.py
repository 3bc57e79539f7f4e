"""The tests on the oldest and the newest Python, with the oldest and the newest packages.

For each corner a virtual environment is made with pip, in `outputs/versions`, where it is kept.
Then all tests that are not slow run in it. The oldest packages are the first series that
`pyproject.toml` allows: 1.24.* for `numpy>=1.24`. On the newest Python that is asked of torch
alone, as few packages had wheels for it then. Interpreters are those of `--python`, pyenv's, and
`python3.10` and `python3.13` on the path. A corner takes some gigabytes where torch's packages hold
CUDA; pip's own settings may name an index of smaller ones (PIP_EXTRA_INDEX_URL).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import ROOT
from taichi_pynerf.errors import ConfigError

KEPT = Path("outputs/versions")
ALL = r".*"
CORNERS = {  # {name: (Python, pattern of the packages that are old)}
    "oldest": ("3.10", ALL),
    "oldest Python, newest packages": ("3.10", ""),
    "newest Python, oldest torch": ("3.13", r"torch|torchvision"),
    "newest": ("3.13", ""),
}
QUICK_TESTS = ("tests/test_config.py", "tests/ops")
SHOWN = ("torch", "numpy", "pillow", "taichi", "viser", "pycolmap")


def campaign(options: Options, outcome: Outcome) -> None:
    found: dict[str, dict[str, str]] = {}
    outcome.figures = {"versions": found}
    for name, (python, old) in CORNERS.items():
        interpreter = interpreter_of(python, options.pythons)
        if interpreter is None:
            outcome.skipped.append(f"{name}: Python {python} is not here (--python names one)")
            continue
        folder = KEPT / name.replace(", ", "-").replace(" ", "_")
        fault = _installed(folder, interpreter, old)
        if fault is None:
            found[name] = {"python": python, **_versions(folder)}
            tests = list(QUICK_TESTS) if options.quick else ["-m", "not slow"]
            outcome.note(f"{name}: Python {python}", *run_tests(folder / "bin/python", tests))
        else:
            outcome.note(f"{name}: Python {python}", f"it cannot be installed: {fault}")


def interpreter_of(python: str, named: Sequence[Path] = ()) -> Path | None:
    """An interpreter of a version like "3.10": a named one, pyenv's newest, or one on the path.

    Raises:
        ConfigError: a named one cannot be started.
    """
    for path in named:
        ask = [str(path), "-c", "import sys; print('{}.{}'.format(*sys.version_info))"]
        try:
            done = subprocess.run(ask, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConfigError(f"--python {path}: no Python that starts ({error})") from None
        if done.stdout.strip() == python:
            return path
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    ours = [path for path in root.glob(f"{python}.*/bin/python") if path.exists()]
    if ours:  # those that pyenv puts on the path refuse to start unless they are chosen
        return max(ours, key=lambda path: int(path.parts[-3].rpartition(".")[2]))
    there = shutil.which(f"python{python}")
    return None if there is None else Path(there)


def first_series(project: str, old: str) -> list[str]:
    """Constraints for pip that hold packages at the first series that a project allows.

    Args:
        project: the text of its `pyproject.toml`.
        old: pattern of their names.
    """
    found: dict[str, str] = {}
    bounds = re.findall(r'"([A-Za-z][\w.-]*)>=([\d.]+)[^"]*"', project)
    for name, least in bounds:
        parts = least.split(".")
        series = least if len(parts) > 2 else f"{'.'.join([*parts, '0'][:2])}.*"
        if name != "setuptools" and re.fullmatch(old, name):  # which builds, and is not installed
            found[name] = f"{name}=={series}"
    return list(found.values())


def run_tests(python: Path, arguments: list[str]) -> tuple[str | None, str]:
    """Run pytest with an interpreter: a fault, and its last line."""
    command = [str(python.absolute()), "-m", "pytest", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    last = next((line for line in reversed(lines) if re.search(r"\d+ passed", line)), "")
    if done.returncode:
        return f"{len(failed)} failed: {' | '.join(failed[:20])} {done.stderr[-300:]}", last
    return None, last.strip("= ")


def _installed(folder: Path, interpreter: Path, old: str) -> str | None:
    """Make an environment with the project and what its tests need; the fault, if it fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    constraints = folder.with_suffix(".txt").absolute()
    constraints.write_text("\n".join(first_series((ROOT / "pyproject.toml").read_text(), old)))
    commands = [
        [str(interpreter), "-m", "venv", str(folder)],
        [str((folder / "bin/python").absolute()), "-m", "pip", "install", "-q", "-c",
         str(constraints), "-e", f"{ROOT}[test]"],
    ]  # fmt: skip
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return " ".join(done.stderr.split())[-300:]
    return None


def _versions(folder: Path) -> dict[str, str]:
    """{package: version} of those that matter most."""
    command = [str((folder / "bin/python").absolute()), "-m", "pip", "list", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    return {one["name"]: one["version"] for one in json.loads(done.stdout) if one["name"] in SHOWN}
