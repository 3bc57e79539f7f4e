"""The quality protocol in miniature: rows that train for some steps on scenes of a few pixels."""

import json
import os
import signal
from dataclasses import replace

import pytest
from scene_makers import write_blender_scene
from tiny_rows import DEMO, made_up_result, tiny_row
from tiny_rows import run_tiny as run

from benchmarks.quality import __main__ as program
from benchmarks.quality import page, row_runs
from benchmarks.quality.published import PUBLISHED
from benchmarks.quality.row_runs import run_row
from benchmarks.quality.rows import DEMOS, LOSSMULT, ROWS, TABLES, Images
from benchmarks.quality.tables import columns_of, markdown, mean_figure
from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.demo.scene import SCENES
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_blender_scene(folder / "noise", width=16, height=16, splits=("train", "val", "test"))
    return folder


@pytest.fixture
def steps_done(monkeypatch):
    """The number of steps made by the trainers of this test."""
    counted = []
    step = MultiScaleTrainer.train_step

    def counting(self):
        counted.append(self.config.seed)
        return step(self)

    monkeypatch.setattr(MultiScaleTrainer, "train_step", counting)
    return counted


def test_a_row_leaves_all_that_its_figures_depend_on(tmp_path, data_dir):
    result = run({"a": tiny_row()}, "a", tmp_path, data_dir, seed=3)
    assert json.loads((tmp_path / "a" / "seed3" / "result.json").read_text()) == result
    assert result["steps"] == 6
    assert result["config"]["seed"] == 3
    assert result["declared"]["images"]["scene"] == "noise"
    assert result["commit"] is None or len(result["commit"]) == 40
    assert {"device", "torch", "taichi"} <= set(result["machine"])
    scales = result["tests"]["test"]["scales"]
    assert set(scales) == {"1", "2"}
    images = result["tests"]["test"]["images"]
    assert len(images) == 4
    for image in images:  # MSE and PSNR are of the same pixels
        assert 10 ** (-image["psnr"] / 10) == pytest.approx(image["mse"], rel=1e-4)


def test_a_finished_row_is_read_and_a_changed_one_refused(tmp_path, data_dir, steps_done):
    rows = {"a": tiny_row()}
    first = run(rows, "a", tmp_path, data_dir)
    assert len(steps_done) == 6
    assert run(rows, "a", tmp_path, data_dir) == first
    run(rows, "a", tmp_path, data_dir, seed=1)
    assert steps_done == [0] * 6 + [1] * 6
    with pytest.raises(ConfigError, match=r"seed0/result.json: .*declared differently"):
        run({"a": tiny_row(max_steps=7)}, "a", tmp_path, data_dir)


def test_an_interrupted_row_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path, data_dir, steps_done, monkeypatch
):
    rows = {"a": tiny_row()}
    whole = run(rows, "a", tmp_path / "whole", data_dir)
    train = MultiScaleTrainer.train

    def interrupted(self, on_step):
        train(self, on_step=terminate_at_4)

    def terminate_at_4(trainer, _):
        if trainer.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(MultiScaleTrainer, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(rows, "a", tmp_path / "cut", data_dir)
    assert not (tmp_path / "cut" / "a" / "seed0" / "result.json").exists()
    cut = run(rows, "a", tmp_path / "cut", data_dir)
    assert len(steps_done) == 6 + 4 + 2
    assert cut["tests"] == whole["tests"]


def test_distances_are_tested_one_by_one_and_the_clamp_can_be_left_out(
    tmp_path, steps_done, monkeypatch
):
    monkeypatch.setenv("TAICHI_PYNERF_CACHE", str(tmp_path / "cache"))
    row = tiny_row(DEMO)
    rows = {"a": row, "free": replace(row, clamp=False, trained_as="a")}
    clamped, free = (run(rows, name, tmp_path) for name in rows)
    assert len(steps_done) == 6  # one training for both
    assert list(clamped["tests"]) == ["distance 2.6", "distance 5.2"]
    far = [result["tests"]["distance 5.2"]["mse"] for result in (clamped, free)]
    assert far[0] != far[1]
    assert list(columns_of(free)) == list(free["tests"])


@pytest.mark.parametrize("lossmult", LOSSMULT)
def test_what_coarse_pixels_count_for(tmp_path, data_dir, lossmult, monkeypatch):
    weights = []
    loss = row_runs.PyNeRFLoss.forward

    def watched(self, outputs, targets):
        weights.append(targets["weights"])
        return loss(self, outputs, targets)

    monkeypatch.setattr(row_runs.PyNeRFLoss, "forward", watched)
    row = tiny_row(settings={"contrast_share": 0.0}, lossmult=lossmult)
    run({"a": row}, "a", tmp_path, data_dir)
    different = len(weights[0].unique())
    assert different == (2 if lossmult == "weighted" else 1)


def test_demo_scenes_of_rows_are_built_in_ones(monkeypatch):
    made = []
    monkeypatch.setattr(row_runs, "demo_scene_dir", lambda **settings: made.append(settings))
    for name in DEMOS:
        row_runs.scene_folder(Images(name), None, (), 4)
    assert [settings["scene"] for settings in made] == list(SCENES)
    named = {row.images.scene for row in ROWS.values()}
    assert set(DEMOS) <= named


def test_photographs_are_trained_on_reduced_images_too_and_tested_at_full_size(tmp_path, data_dir):
    images = Images("noise", reduced_too=True)
    assert images.train_scales == (1, 2, 4, 8)
    result = run({"a": tiny_row(images)}, "a", tmp_path, data_dir)
    assert set(result["tests"]["test"]["scales"]) == {"1"}


def test_rows_of_one_scene_stop_by_seconds_and_stand_beside_what_is_published():
    lego = {p.method: p.psnr for p in PUBLISHED["lego800"]}
    assert max(lego.values()) == lego["PyNeRF"] == 36.63
    assert {p.psnr for p in PUBLISHED["lego800-scales"]} == {36.20, 35.74, 35.72, 35.07, 31.83}
    assert "1008 x 756" in PUBLISHED["fern"][0].method
    tables = {"lego800": 7200, "lego800-shorter": 3000, "lego800-scales": 3000,
              "lego400-seconds": 900, "fern": 600, "demo-end": 900}  # fmt: skip
    for table, seconds in tables.items():
        rows = [row for row in ROWS.values() if row.table == table]
        assert [row.max_seconds for row in rows] == len(rows) * [seconds], table
        assert not any(row.num_test for row in rows), table  # all test views
    for name in set(ROWS) & set(TABLES):  # a name of both stands for the same
        assert [row for row in ROWS if ROWS[row].table == name] == [name]


def test_rows_are_sound():
    assert {row.table for row in ROWS.values()} == set(TABLES)
    assert set(PUBLISHED) <= set(TABLES)
    for name, row in ROWS.items():
        PyNeRFConfig.preset(row.preset, **row.settings)
        assert row.lossmult in LOSSMULT
        if row.trained_as:  # the same training, and a model of its own
            other = ROWS[row.trained_as]
            assert not other.trained_as, name
            assert (other.images, other.settings, other.max_steps, other.max_seconds) == (
                row.images, row.settings, row.max_steps, row.max_seconds
            )  # fmt: skip


def test_the_table_has_means_of_scales_and_of_seeds():
    results = [made_up_result("a", 0, 20.0), made_up_result("a", 1, 21.0)]
    text = markdown("multiscale-blender", [*results, made_up_result("b", 0, 30.0)])
    assert mean_figure(results[0], "psnr") == 21.0
    (line,) = [line for line in text.splitlines() if line.startswith("| a |")]
    assert "| 20.50 / 0.9000 | 22.50 / 0.9000 | **21.50** ± 0.71 |" in line
    assert line.endswith("| 0, 1 | 0123456 |")
    assert "8.972e-3" in line  # the mean of 0.01 and 10^-2.1
    assert "| **31.00** |" in text
    assert "PyNeRF | 34.78 |" in text
    assert "No row" in markdown("llff", [])


def test_the_command_runs_rows_and_writes_tables(tmp_path, data_dir, monkeypatch, capsys):
    rows = {"a": tiny_row(), "b": tiny_row(settings={"single_level": True})}
    for module in (program, page):
        monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(program, "run_row", lambda *args: run_row(*args, rows=rows, progress=False))
    program.main(["demo-steps", "--data_dir", str(data_dir), "--output_dir", str(tmp_path)])
    table = (tmp_path / "demo-steps.md").read_text()
    assert table.count("| tiny |") == 2
    assert table in capsys.readouterr().out
    program.main(["--list"])
    assert "    b\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing is neither a row nor a table"),
        ([], "name rows or tables"),
        (["lego400-single"], "name the folder around it by --data_dir"),
    ],
)
def test_wrong_commands_are_refused(arguments, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        program.main([*arguments, "--output_dir", str(tmp_path)])
