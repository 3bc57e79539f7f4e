"""The tests on the oldest and the newest Python, with the oldest and the newest packages.

For each corner a virtual environment is made with pip, in `outputs/versions`, where it is kept.
Then all tests that are not slow run in it, one folder after the other, so that an interrupted run
keeps what it found: the tests of each folder that were tried, passed, failed and skipped. The
oldest packages are the first series that `pyproject.toml` allows: 1.24.* for `numpy>=1.24`. On the
newest Python that is asked of torch alone, as few packages had wheels for it then. Interpreters are
those of `--python`, pyenv's, and `python3.10` and `python3.13` on the path. A corner takes some
gigabytes where torch's packages hold CUDA; pip's own settings may name an index of smaller ones
(PIP_EXTRA_INDEX_URL).
"""

from __future__ import annotations

import collections
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
TESTS = Path("tests")
QUICK_TESTS = (TESTS / "test_config.py", TESTS / "ops")
NO_TESTS = 5  # pytest's status where all tests are left out
SHOWN = ("torch", "numpy", "pillow", "taichi", "viser", "pycolmap")


def campaign(options: Options, outcome: Outcome) -> None:
    corners: dict[str, dict] = {}
    outcome.figures = {"corners": corners}
    for name in options.chosen(tuple(CORNERS)):
        python, old = CORNERS[name]
        interpreter = interpreter_of(python, options.pythons)
        if interpreter is None:
            outcome.skipped.append(f"{name}: Python {python} is not here (--python names one)")
            continue
        folder = KEPT / name.replace(", ", "-").replace(" ", "_")
        fault = _installed(folder, interpreter, old)
        if fault is not None:
            outcome.note(f"{name}: Python {python}", f"it cannot be installed: {fault}")
            continue
        total: collections.Counter[str] = collections.Counter()
        corners[name] = {"versions": {"python": python, **_versions(folder)}, "tests": total}
        for tests in QUICK_TESTS if options.quick else groups(ROOT / TESTS):
            fault, words = run_tests(folder / "bin/python", [str(tests), "-m", "not slow"])
            counts = counts_of(words)
            total.update(counts)
            if fault is not None or counts["tried"]:  # else all of its tests are slow
                outcome.note(f"{name}: Python {python}, {tests}", fault, words)


def groups(folder: Path) -> list[Path]:
    """The folders of tests, each with all below it, and the files beside them, within `TESTS`."""
    found = [path for path in sorted(folder.iterdir()) if any(path.rglob("test_*.py"))]
    return [TESTS / path.name for path in [*found, *sorted(folder.glob("test_*.py"))]]


def counts_of(words: str) -> dict[str, int]:
    """{"passed", "failed", "skipped", "errors", "tried": number} of pytest's last line."""
    found = {
        name: int(number)
        for number, name in re.findall(r"(\d+) (passed|failed|skipped|errors?)", words)
    }
    errors = found.pop("error", 0) + found.pop("errors", 0)
    tried = found.get("passed", 0) + found.get("failed", 0) + errors
    return {"tried": tried, **found, **({"errors": errors} if errors else {})}


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
    """Run pytest with an interpreter.

    Returns:
        A fault, with the names of what failed, and pytest's last line.
    """
    command = [str(python.absolute()), "-m", "pytest", "-n", "0", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    ends = r"\d+ (passed|failed|skipped|deselected|errors?)\b.* in [\d.]+s"
    last = next((line.strip("= ") for line in reversed(lines) if re.search(ends, line)), "")
    if done.returncode in (0, NO_TESTS):
        return None, last
    said = f"{last or f'status {done.returncode}'}: {' | '.join(failed[:20])}"
    return f"{said} {done.stderr[-300:]}".strip(), last


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
