"""Curves of PSNR over a training: they change nothing of it, and survive what ends it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scene_makers import write_blender_scene
from tiny_rows import DEMO, made_up_result, run_tiny, tiny_row

from benchmarks.quality import __main__ as program
from benchmarks.quality import curves, pictures
from benchmarks.quality.curves import FILE_NAME, Curve, read_curve
from benchmarks.quality.rows import Row
from taichi_pynerf.data.datasets import MultiScaleDataset
from taichi_pynerf.errors import ConfigError, MissingPackageError, RunWarning
from taichi_pynerf.runs.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[2]
STEPS = 24
AVERAGED = {"average_weights": 0.5, "contrast_share": 0.3}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_blender_scene(
        folder / "noise", num_views=6, width=16, height=16, splits=("train", "test")
    )
    return folder


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr(Curve, "next_mark", lambda self: 0.0)


def averaged_row():
    return {"a": tiny_row(settings=AVERAGED, max_steps=STEPS)}


def same(a, b):
    """Whether two nested values are the same, tensors to the bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def without_time(points):
    return [{name: p[name] for name in p if name != "seconds"} for p in points]


def test_testing_at_every_step_changes_no_bit_of_the_training(
    tmp_path, data_dir, every_step, monkeypatch
):
    tested = run_tiny(averaged_row(), "a", tmp_path / "tested", data_dir)
    assert len(tested["curve"]["points"]) == STEPS + 1
    with monkeypatch.context() as patch:
        patch.setattr(Curve, "test", lambda *_, **__: None)
        plain = run_tiny(averaged_row(), "a", tmp_path / "plain", data_dir)
    assert plain["curve"]["points"] == []
    states = []
    for folder in ("tested", "plain"):
        content = read_checkpoint(tmp_path / folder / "a" / "seed0")
        content["training"].pop("train_seconds")
        states.append(content)
    assert same(*states)
    assert tested["tests"] == plain["tests"]


def test_a_curve_has_the_weights_as_they_are_and_at_the_end_their_mean_too(
    tmp_path, data_dir, every_step
):
    curve = run_tiny(averaged_row(), "a", tmp_path, data_dir)["curve"]
    points = curve["points"]
    assert [p["steps"] for p in points] == [*range(1, STEPS + 1), STEPS]
    assert [p["end"] for p in points] == STEPS * [False] + [True]
    assert points[-1]["psnr"] != points[-2]["psnr"]
    assert points[-1]["seconds"] == points[-2]["seconds"]
    assert set(points[0]["psnr"]) == {"1/1", "1/2"}
    assert points[0]["mean_psnr"] == pytest.approx(sum(points[0]["psnr"].values()) / 2)
    assert points[0]["num_samples"] < points[1]["num_samples"]
    assert len(curve["views"]["test"]) == curves.NUM_VIEWS
    assert read_curve(tmp_path / "a" / "seed0" / FILE_NAME) == curve


def test_without_averaging_the_end_is_tested_once(tmp_path, data_dir, every_step):
    rows = {"a": tiny_row(), "other": tiny_row(clamp=False, trained_as="a")}
    points = run_tiny(rows, "a", tmp_path, data_dir)["curve"]["points"]
    assert [(p["steps"], p["end"]) for p in points][-2:] == [(5, False), (6, True)]
    assert run_tiny(rows, "other", tmp_path, data_dir)["curve"] is None  # it has no training


def test_distances_have_a_curve_each(tmp_path, monkeypatch):
    monkeypatch.setenv("TAICHI_PYNERF_CACHE", str(tmp_path / "cache"))
    (point,) = run_tiny({"a": tiny_row(DEMO)}, "a", tmp_path)["curve"]["points"]
    assert list(point["psnr"]) == ["distance 2.6", "distance 5.2"]


def test_points_come_after_times_that_double(tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr(curves, "evaluate", lambda *_: {"scales": {"1": {"psnr": 20.0}}})
    curve = Curve(tmp_path, {"test": MultiScaleDataset(data_dir / "noise", "test", (1,))})
    model = SimpleNamespace(eval=lambda: None)
    trainer = SimpleNamespace(
        model=model, step=0, num_samples=0, stop_requested=False, progress_made=lambda: 0.5
    )
    for seconds in (9.9, 10.2, 15.0, 19.0, 41.0, 79.0, 81.0):
        trainer.train_seconds, trainer.step = seconds, trainer.step + 1
        curve.on_step(trainer)
    assert [p["seconds"] for p in curve.points] == [10.2, 41.0, 81.0]
    trainer.stop_requested, trainer.train_seconds = True, 200.0
    curve.on_step(trainer)  # who stops a training does not wait
    assert len(curve.points) == 3


def test_points_beyond_the_checkpoint_are_dropped(tmp_path, data_dir):
    tests = {"test": MultiScaleDataset(data_dir / "noise", "test", (1,))}
    curve = Curve(tmp_path, tests, commit="old")
    point = {"num_samples": 1, "seconds": 1.0, "end": False, "psnr": {}, "mean_psnr": 20.0}
    curve.points = [{"steps": step, **point} for step in (2, 5, 8)]
    curve.write()
    again = Curve(tmp_path, tests, step=5, commit="new")
    assert [p["steps"] for p in again.points] == [2, 5]
    assert again.commits == ["old", "new"]
    again.write()
    assert read_curve(tmp_path / FILE_NAME) == again.content()
    fresh = Curve(tmp_path, tests, step=0, commit="new")  # no checkpoint: it begins anew
    assert (fresh.points, fresh.commits) == ([], ["new"])
    few = {"test": MultiScaleDataset(data_dir / "noise", "test", (2,))}
    few["test"].names = ["other"] * len(few["test"])
    assert Curve(tmp_path, few, step=5).points == []  # of other views


@pytest.mark.parametrize("text", ["", "[]", '{"points": [1]}', '{"points": [], "commits": []}'])
def test_a_file_that_is_no_curve_is_named(tmp_path, text):
    path = tmp_path / FILE_NAME
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"curve.json: this is no curve of a training; remove it"):
        read_curve(path)


def test_a_curve_that_cannot_be_written_does_not_end_the_training(
    tmp_path, data_dir, every_step, monkeypatch
):
    def full(path, _):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(curves, "atomic_write_text", full)
    with pytest.warns(RunWarning, match="No space left"):
        result = run_tiny({"a": tiny_row()}, "a", tmp_path, data_dir)
    assert len(result["curve"]["points"]) == 6


# A process that tests at every step, has its only checkpoint at step 5, and kills itself.
KILLED = """
import os, signal, sys
from pathlib import Path

sys.path[:0] = [{tests!r}, {root!r}]
import taichi_pynerf
from tiny_rows import run_tiny, tiny_row
from benchmarks.quality.curves import Curve
from taichi_pynerf import runtime
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def die_late(self, target, replace=Path.replace):
    if target.name == "curve.json" and b'"steps": 9,' in self.read_bytes():
        die()
    return replace(self, target)

runtime.start("cpu")
Curve.next_mark = lambda self: 0.0
MultiScaleTrainer._checkpoint_due = lambda self, seconds: self.step == 5
if sys.argv[1] == "renaming":
    Path.replace = die_late
else:
    Curve.end = die
rows = {{"a": tiny_row(settings={settings!r}, max_steps={steps})}}
run_tiny(rows, "a", Path({folder!r}), Path({data!r}))
"""


def test_a_killed_row_ends_with_the_figures_and_the_curve_of_one_that_was_not(
    tmp_path, data_dir, every_step
):
    whole = run_tiny(averaged_row(), "a", tmp_path / "whole", data_dir)
    code = KILLED.format(
        tests=str(ROOT / "tests"), root=str(ROOT), folder=str(tmp_path / "killed"),
        data=str(data_dir), settings=AVERAGED, steps=STEPS,
    )  # fmt: skip
    folder = tmp_path / "killed" / "a" / "seed0"
    steps = []
    for moment in ("renaming", "end"):
        done = subprocess.run([sys.executable, "-c", code, moment], check=False)
        assert done.returncode == -signal.SIGKILL
        steps.append([p["steps"] for p in read_curve(folder / FILE_NAME)["points"]])
    assert steps == [[*range(1, 9)], [*range(1, STEPS + 1)]]
    killed = run_tiny(averaged_row(), "a", tmp_path / "killed", data_dir)
    assert killed["tests"] == whole["tests"]
    assert without_time(killed["curve"]["points"]) == without_time(whole["curve"]["points"])
    seconds = [p["seconds"] for p in killed["curve"]["points"]]
    assert seconds == sorted(seconds)
    assert list(folder.glob(".*")) == []


# ---- pictures ---------------------------------------------------------------------------------


@pytest.fixture
def two_runs(tmp_path, monkeypatch):
    """A finished row and one that is running, in `tmp_path`."""
    rows = {name: Row("lego800", name, tiny_row().images) for name in ("done", "running")}
    for module in (pictures, program):
        monkeypatch.setattr(module, "ROWS", rows)
    points = [
        {"steps": s, "num_samples": 1000 * s, "seconds": 1.0 * s, "end": s == 8, "psnr": {},
         "mean_psnr": 20.0 + s}
        for s in (1, 2, 4, 8)
    ]  # fmt: skip
    content = {"views": {}, "commits": [None], "points": points}
    for name in rows:
        (tmp_path / name / "seed0").mkdir(parents=True)
    result = {**made_up_result("done", 0, 29.0), "curve": content}
    (tmp_path / "done" / "seed0" / "result.json").write_text(json.dumps(result))
    (tmp_path / "running" / "seed0" / FILE_NAME).write_text(
        json.dumps({**content, "points": points[:2]})
    )
    return tmp_path


def test_curves_are_drawn_with_published_figures(two_runs, capsys):
    pytest.importorskip("matplotlib")
    runs = pictures.found_runs(two_runs, "lego800")
    assert [len(of_row[0].points) for of_row in runs.values()] == [4, 2]
    assert [of_row[0].tested for of_row in runs.values()] == [30.0, None]
    program.main(["--curves", "lego800", "--output_dir", str(two_runs)])
    assert capsys.readouterr().out.strip().endswith("lego800.png")
    assert (two_runs / "lego800.png").read_bytes()[:4] == b"\x89PNG"


def test_names_of_lines_are_kept_apart():
    assert pictures.spread([1.0, 5.0, 9.0], 1.0) == [1.0, 5.0, 9.0]
    assert pictures.spread([1.0, 5.0, 5.0, 5.2, 9.0], 1.0) == pytest.approx(
        [1.0, 4.0667, 5.0667, 6.0667, 9.0], abs=1e-3
    )
    close = pictures.spread([1.0, 1.1, 2.0, 2.1, 3.0], 1.0)  # groups that meet are one
    assert close == pytest.approx([-0.16, 0.84, 1.84, 2.84, 3.84])
    assert pictures.spread([], 1.0) == []


def test_what_is_missing_for_a_picture_is_said(two_runs, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="has no curve of lego800"):
        program.main(["--curves", "done", "--output_dir", str(tmp_path / "none")])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"pip install .*\[plots\]"):
        program.main(["--curves", "lego800", "--output_dir", str(two_runs)])
    assert not (two_runs / "lego800.png").exists()
