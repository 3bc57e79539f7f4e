"""Figures as JSON, CSV and Markdown."""

import csv
import json
import math

import pytest

from taichi_pynerf.evaluation.evaluation import summarise
from taichi_pynerf.files import json_text
from taichi_pynerf.rendering.reports import markdown_table, metrics_table, write_reports

RESULTS = [
    {"name": "r_0", "scale": 1, "psnr": 20.0, "ssim": 0.5},
    {"name": "r, 1", "scale": 1, "psnr": 30.0, "ssim": 0.7},
    {"name": "r_0", "scale": 8, "psnr": 31.234, "ssim": 0.9},
]


def rows_of(table):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


def test_the_three_reports_say_the_same(tmp_path):
    summary = summarise(RESULTS, ["psnr", "ssim"])
    table = write_reports(tmp_path, summary, {"split": "test"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "metrics.csv", "metrics.json", "metrics.md",
    ]  # fmt: skip
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content == {"split": "test", **summary}
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{**row, "scale": int(row["scale"]), "psnr": float(row["psnr"]),
             "ssim": float(row["ssim"])} for row in rows] == RESULTS  # fmt: skip
    assert (tmp_path / "metrics.md").read_text() == table
    assert rows_of(table) == [
        ["", "full", "1/8", "mean"],
        ["---", "---:", "---:", "---:"],
        ["PSNR ↑", "25.00", "31.23", "28.12"],
        ["SSIM ↑", "0.6000", "0.9000", "0.7500"],
    ]


def test_runs_stand_in_rows_below_each_other_by_metric():
    better = [{**result, "psnr": result["psnr"] + 1} for result in RESULTS]
    names = ["psnr", "ssim"]
    table = metrics_table({"a": summarise(RESULTS, names), "b": summarise(better, names)})
    assert [row[:3] for row in rows_of(table)[2:]] == [
        ["PSNR ↑", "a", "25.00"], ["PSNR ↑", "b", "26.00"],
        ["SSIM ↑", "a", "0.6000"], ["SSIM ↑", "b", "0.6000"],
    ]  # fmt: skip


def test_one_scale_has_no_mean_of_scales():
    table = metrics_table({"": summarise(RESULTS[:2], ["psnr"])})
    assert rows_of(table)[0] == ["", "full"]


@pytest.mark.parametrize(("value", "cell"), [(math.inf, "∞"), (math.nan, "-")])
def test_what_is_not_finite_is_null_in_json(tmp_path, value, cell):
    results = [{"name": "r_0", "scale": 1, "psnr": value}]
    table = write_reports(tmp_path, summarise(results, ["psnr"]), {})
    assert rows_of(table)[2] == ["PSNR ↑", cell]
    text = (tmp_path / "metrics.json").read_text()
    assert json.loads(text)["psnr"] is None
    assert "Infinity" not in text
    assert "NaN" not in text
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1] == "r_0,1,"


def test_json_text_goes_into_lists_and_keeps_whole_numbers():
    value = {"a": [1, math.inf, {"b": -math.inf}], "c": (math.nan, 2.5), "d": True, "e": "x"}
    expected = {"a": [1, None, {"b": None}], "c": [None, 2.5], "d": True, "e": "x"}
    assert json.loads(json_text(value)) == expected


def test_a_bar_in_a_name_does_not_split_its_cell():
    assert markdown_table(["run"], [["a|b"]]).splitlines()[2] == "| a\\|b |"
