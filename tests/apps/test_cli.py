"""Shared parts of all programs: names of commands, errors and warnings in one line."""

import os
import re
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

from taichi_pynerf.apps import cli
from taichi_pynerf.errors import ConfigError, SceneWarning

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        ("apps/train.py", "python apps/render.py"),
        ("data_tools/photos_to_scene.py", "python apps/render.py"),
        ("/home/a b/code/apps/train.py", "python '/home/a b/code/apps/render.py'"),
        ("/usr/local/bin/pynerf-train", "pynerf-render"),
        ("taichi_pynerf/apps/train.py", None),  # filled in below: the package's own folder
        ("/usr/bin/pytest", "pynerf-render"),
    ],
)
def test_a_command_is_named_as_the_user_has_it(started, expected, monkeypatch):
    if expected is None:
        started, expected = str(ROOT / started), "pynerf-render"
    monkeypatch.setattr(sys, "argv", [started])
    assert cli.command("render") == expected


def test_texts_name_the_commands_of_an_installation(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/pynerf-view"])
    text = "python apps/train.py --gui, apps/render.py, or data_tools/make_multiscale.py; apps/x.py"
    assert cli.in_commands_of_the_user(text) == (
        "pynerf-train --gui, pynerf-render, or pynerf-multiscale; apps/x.py"
    )


def test_errors_name_the_commands_of_an_installation(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/pynerf-view"])

    def main(_):
        raise ConfigError("train one with apps/train.py")

    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    assert ended.value.code == cli.EXIT_USER_ERROR
    assert capsys.readouterr().err == "error: train one with pynerf-train\n"


def test_every_program_has_a_command_and_a_file():
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    scripts = dict(re.findall(r'^(pynerf-\w+) = "(.+)"$', settings, flags=re.MULTILINE))
    assert set(scripts) == {f"pynerf-{name}" for name in cli.PROGRAMS}
    for name, file in cli.PROGRAMS.items():
        module, function = scripts[f"pynerf-{name}"].split(":")
        assert callable(getattr(import_module(module), function))
        # The file in the checkout starts the same one.
        assert f"from {module} import {function}\n" in (ROOT / file).read_text()


@pytest.mark.parametrize("file", sorted(cli.PROGRAMS.values()))
def test_files_of_a_checkout_start_the_programs(file):
    done = subprocess.run(
        [sys.executable, str(ROOT / file), "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout
    assert not re.search(r"(?<![-\w])pynerf-", done.stdout)  # what it names is in the checkout


def test_names_of_files_neither_break_lines_nor_command_a_terminal(monkeypatch, capsys):
    """A scene from elsewhere may have any sign in its names."""

    def main(_):
        warnings.warn("a\nb", SceneWarning, stacklevel=1)
        raise ConfigError("x\n\x1b[2J\u202e\udcff y é 🦊: no such file")

    monkeypatch.setattr(sys, "argv", ["pynerf-train"])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as end:
        cli.run(main)
    assert end.value.code == cli.EXIT_USER_ERROR
    assert capsys.readouterr().err == (
        "warning: a\\nb\nerror: x\\n\\x1b[2J\\u202e\\udcff y é 🦊: no such file\n"
    )


def test_what_an_output_cannot_hold_is_written_as_an_escape():
    work = (
        "from taichi_pynerf.apps import cli\n"
        "cli.run(lambda _: print('run \\U0001f98a é', b'\\xff'.decode(errors='surrogateescape')))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", work], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "run \\U0001f98a \\xe9 \\udcff\n", done.stderr
