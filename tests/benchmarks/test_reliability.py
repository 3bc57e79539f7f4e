"""The campaigns in their short form, and the tables that they write."""

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.reliability import __main__ as program
from benchmarks.reliability.campaign import Outcome, table
from benchmarks.reliability.children import Done
from benchmarks.reliability.fuzzing.corpus import FOLDER, message_of, unpack
from benchmarks.reliability.fuzzing.mutation import members, mutated
from benchmarks.reliability.fuzzing.parsers import PARSERS, parser_in
from benchmarks.reliability.phases import BETWEEN, START, Phases
from taichi_pynerf.errors import ConfigError, UserError

ROOT = Path(__file__).parents[2]


@pytest.mark.campaign
def test_trainings_that_are_killed_go_on(tmp_path):
    """In a process of its own, as this one has started Taichi and cannot fork."""
    command = [sys.executable, "-m", "benchmarks.reliability", "kill9", "--quick"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--output_dir", str(tmp_path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "kill9.json").read_text())
    assert found["lost"] == 0
    assert found["tried"] == found["survived"] == 6
    assert sum(found["figures"]["died in"].values()) == 3
    assert "kill9 --quick" in (tmp_path / "reliability.md").read_text()


def test_a_loss_is_in_the_table(capsys):
    outcome = Outcome(skipped=["small disks: only root"])
    outcome.note("first", None, "fine")
    outcome.note("second", "the checkpoint is gone", "words")
    assert [one.what for one in outcome.lost] == ["second"]
    found = {"claim": "a disk", "command": "python -m x", **outcome.to_dict()}
    text = table({"disk": found})
    assert "| a disk | 2 | 1 | 1 | `python -m x` |" in text
    assert "disk, lost: second: the checkpoint is gone" in text
    assert "disk, not tried: small disks: only root" in text
    assert "disk: interrupted" in text
    assert "LOST  second" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("done", "status", "fault"),
    [
        (Done(0, "", "train: 10%\r\n"), 0, None),
        (Done(2, "", "error: x.json: no such file\n"), 2, None),
        (Done(2, "", "error: y.json\n"), 2, "no word"),
        (Done(2, "", "usage\n"), 2, "no line of error"),
        (Done(-signal.SIGKILL, "", "error: x.json"), 2, "status -9"),
        (Done(2, "", "Traceback (most recent call last)\nerror: x.json"), 2, "traceback"),
    ],
)
def test_the_end_of_a_program(done, status, fault):
    words = ("x.json",) if status else ()
    found = done.fault(status, *words)
    assert (found is None) == (fault is None)
    assert fault is None or fault in found


def test_lengths_of_phases():
    phases = Phases()
    lines = ["1.0 start", "3.0 settings", "3.5 start", "4.0 step", "4.25 between", "5.0 step"]
    os.write(phases.write, "".join(f"{line}\n" for line in lines).encode())
    phases.listen()
    phases.close()
    assert phases.last == "step"
    assert phases.lengths() == {START: [2.0], "settings": [0.5], "step": [0.25], BETWEEN: [0.75]}


def test_unknown_campaigns_are_named():
    with pytest.raises(ConfigError, match="no campaign flood"):
        program.main(["flood"])


def test_every_campaign_says_what_it_tries(capsys):
    program.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(program.NAMES)
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize("name", PARSERS)
def test_parsers_that_are_fuzzed(name, tmp_path):
    """Each takes its good file, refuses rubbish, and has an answer to all of its corpus."""
    parser = parser_in(tmp_path / "scene", name)
    assert parser.fault() is None
    assert parser.read() is not None
    parser.path.write_bytes(b"\xff\x00rubbish")
    assert parser.fault() is None
    if name == "log":  # of which a crash may leave anything
        assert parser.read() == []
    else:
        with pytest.raises(UserError):
            parser.read()
    unpack(name, tmp_path / "corpus")
    for file in sorted((tmp_path / "corpus").iterdir()):
        parser.path.write_bytes(file.read_bytes())
        assert parser.fault() is None, file.name


def test_every_parser_has_a_corpus():
    assert {path.stem for path in FOLDER.iterdir()} == set(PARSERS)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 400_000


@pytest.mark.parametrize("name", ["crop", "cameras_npz", "checkpoint", "cameras_csv"])
def test_mutations_mostly_leave_files_that_are_read_on(name, tmp_path):
    """Not refused at their first line: so the checks behind it are reached."""
    parser = parser_in(tmp_path, name)
    good, changed, messages = parser.path.read_bytes(), set(), set()
    for seed in range(60):
        data = mutated(parser.path.suffix, good, seed, 65536, lambda data: data[::-1])
        assert data == mutated(parser.path.suffix, good, seed, 65536, lambda data: data[::-1])
        changed.add(data)
        parser.path.write_bytes(data)
        messages.add(message_of(parser))
    kinds = 8
    if zipfile.is_zipfile(io.BytesIO(good)):  # each member reversed, or the whole file
        kinds = len(zipfile.ZipFile(io.BytesIO(good)).namelist())
    assert len(changed) >= kinds
    assert len(messages) > 2


def test_the_words_that_are_put_into_files():
    assert {"camera_angle_x", "fl_x", "crop_scale"} <= set(members())
