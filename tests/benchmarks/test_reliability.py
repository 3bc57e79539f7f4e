"""The campaigns in their short form, and the tables that they write."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reliability import __main__ as program
from benchmarks.reliability import phases as phases_module
from benchmarks.reliability import soak, surroundings
from benchmarks.reliability.campaign import Options, Outcome, table
from benchmarks.reliability.children import Done
from benchmarks.reliability.fuzzing.corpus import FOLDER, message_of, unpack
from benchmarks.reliability.fuzzing.mutation import members, mutated
from benchmarks.reliability.fuzzing.parsers import PARSERS, parser_in
from benchmarks.reliability.phases import BETWEEN, START, Phases
from benchmarks.reliability.versions import (
    ALL,
    counts_of,
    first_series,
    groups,
    interpreter_of,
    run_tests,
)
from benchmarks.running_clock import RunningClock
from taichi_pynerf.errors import ConfigError, UserError

ROOT = Path(__file__).parents[2]


def found_by(name, folder):
    """What a short campaign finds, in a process of its own: this one has started Taichi."""
    command = [sys.executable, "-m", "benchmarks.reliability", name, "--quick"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--output_dir", str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((folder / f"{name}.json").read_text())
    assert found["lost"] == 0
    assert f"{name} --quick" in (folder / "reliability.md").read_text()
    return found


@pytest.mark.campaign
def test_trainings_that_are_killed_go_on(tmp_path):
    found = found_by("kill9", tmp_path)
    assert found["tried"] == found["survived"] == 6
    assert sum(found["figures"]["died in"].values()) == 3


@pytest.mark.campaign
def test_signals_twins_odd_names_and_damaged_caches_lose_nothing(tmp_path):
    found = found_by("surroundings", tmp_path)
    assert found["tried"] == found["survived"] == 8


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


def test_phases_are_those_of_the_program():
    for _, place, name in phases_module._PLACES:
        assert callable(getattr(place, name)), name


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


def test_parts_are_chosen_by_name(tmp_path):
    options = Options(False, tmp_path, parts=("ply", "crop"))
    assert options.chosen(PARSERS) == ["ply", "crop"]
    assert options.chosen(PARSERS, PARSERS[:2]) == ["ply", "crop"]
    assert Options(False, tmp_path).chosen(PARSERS) == list(PARSERS)
    assert Options(True, tmp_path).chosen(PARSERS, PARSERS[:2]) == list(PARSERS[:2])
    with pytest.raises(ConfigError, match="no part ply, crop: choose from signals"):
        options.chosen(surroundings.PARTS)
    with pytest.raises(ConfigError, match="with it alone"):
        program.main(["kill9", "--part", "ply"])


def test_every_campaign_says_what_it_tries(capsys):
    program.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(program.NAMES)
    assert all(len(line.split()) > 4 for line in lines)


def test_the_oldest_packages_that_the_project_allows():
    project = '"setuptools>=77" "numpy>=1.24" "taichi>=1.7.4,<1.8" "pytest>=8" "numpy<2"'
    assert first_series(project, ALL) == ["numpy==1.24.*", "taichi==1.7.4", "pytest==8.0.*"]
    assert first_series(project, "torch|taichi") == ["taichi==1.7.4"]
    assert first_series(project, "") == []
    real = first_series((ROOT / "pyproject.toml").read_text(), ALL)
    assert {"torch==2.6.*", "viser==1.1.1"} <= set(real)


def test_a_named_interpreter_comes_first(tmp_path):
    ours = "{}.{}".format(*sys.version_info)
    assert interpreter_of(ours, [Path(sys.executable)]) == Path(sys.executable)
    assert interpreter_of("2.99", [Path(sys.executable)]) is None
    with pytest.raises(ConfigError, match="no Python that starts"):
        interpreter_of(ours, [tmp_path / "python"])


def test_what_pytest_said_is_counted():
    words = (
        "1 failed, 623 passed, 8 skipped, 4 deselected, 5 warnings, 2 errors in 80.23s (0:01:20)"
    )
    assert counts_of(words) == {
        "tried": 626, "passed": 623, "failed": 1, "skipped": 8, "errors": 2
    }  # fmt: skip
    assert counts_of("1 passed in 0.1s") == {"tried": 1, "passed": 1}
    assert counts_of("") == {"tried": 0}


def test_groups_of_tests_are_all_tests(tmp_path):
    for path in ("data/formats/test_a.py", "test_b.py", "corpus/x.zip", "makers.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert groups(tmp_path) == [Path("tests/data"), Path("tests/test_b.py")]


@pytest.mark.parametrize(
    ("text", "fault", "counts"),
    [
        ("def test_a(): pass\n", None, {"tried": 1, "passed": 1}),
        ("import pytest\n@pytest.mark.slow\ndef test_a(): pass\n", None, {"tried": 0}),
        ("def test_a(): assert 0\n", "1 failed in", {"tried": 1, "failed": 1}),
        ("import nothing_like_this\n", "1 error in", {"tried": 1, "errors": 1}),
    ],
)
def test_the_end_of_a_group_of_tests(tmp_path, text, fault, counts):
    (tmp_path / "test_x.py").write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    arguments = [str(tmp_path), "-m", "not slow", "-c", str(tmp_path / "pytest.ini")]
    found, words = run_tests(Path(sys.executable), arguments)
    assert counts_of(words) == counts
    if fault is None:
        assert found is None
    else:
        assert found.startswith(fault)
        assert "test_x.py" in found


def test_memory_that_comes_to_a_height_does_not_grow():
    hours = np.linspace(0.0, 3.0, 300)
    noise = np.random.default_rng(0).normal(size=300)
    settles, grows = 800 - 300 * np.exp(-5 * hours) + noise, 500 + 60 * hours + noise
    outcome = Outcome()
    fault, words = soak._memory(np.stack([hours, settles], 1), outcome)
    assert fault is None, fault
    assert words.startswith("80")
    first, _, last = outcome.figures["memory"]["MB per hour of each part"]
    assert first[0] > 100 > 20 > last[0]
    fault, _ = soak._memory(np.stack([hours, grows], 1), outcome)
    assert fault is not None
    assert "it grows" in fault


class Program:
    """What a soak asks of a program; its handles tell of the calls."""

    def __init__(self, ends_after):
        self.left = ends_after

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the program ended, status -9")

    def memory(self, settling):
        return 500.0 + 0.25 * self.left

    def handles(self):
        return 40

    def threads(self):
        return 12

    def faults(self):
        return []


class Hand:
    sent_away = 0

    def act(self, name):
        pass


def test_a_soak_that_is_cut_off_keeps_its_samples_and_their_slope(monkeypatch):
    monkeypatch.setattr(soak, "BETWEEN_EVENTS", 0.0)
    monkeypatch.setattr(soak, "BETWEEN_SAMPLES", 0.0)
    outcome = Outcome()
    with pytest.raises(RuntimeError, match="status -9"):
        soak._soak(Program(30), [Hand()], random.Random(0), 3600.0, outcome)
    found = json.loads(json.dumps(outcome.figures))
    samples = np.array(found["samples (hours, MB, handles, threads)"])
    assert samples.shape == (30, 4)
    assert samples[0, 1] == 507.25
    assert (samples[:, 2:] == (40, 12)).all()
    assert sum(found["events"].values()) == 30
    assert found["memory"]["MB per hour"] < 0
    assert {"error", "samples"} <= set(found["memory"])


def test_a_clock_leaves_out_stops():
    times = iter([10.0, 10.5, 11.0, 311.0, 311.25])
    clock = RunningClock(longest=1.0, now=lambda: next(times))
    assert [clock.read() for _ in range(4)] == [0.5, 1.0, 2.0, 2.25]
    assert clock.stopped == 299.0


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
