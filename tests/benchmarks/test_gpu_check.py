"""The check of a machine with a GPU: its command line, and the report it ends with."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_report

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_check.sh"
STEP = {"ms_per_step": 61.25, "torch_and_rest_ms": 40.5, "bytes_per_step": 2_500_000}


@pytest.fixture
def folder(tmp_path):
    """The files of a run whose tests failed."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "training").mkdir()
    parts = [("tests", 1, 80, "pytest tests"), ("rendering", 0, 7, "r"), ("steps", 0, 9, "s")]
    lines = ("\t".join(map(str, part)) for part in parts)
    (tmp_path / "parts.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "logs" / "tests.log").write_text("E   assert 1 == 2\n1 failed\n")
    rendering = {
        "width": 64, "height": 48, "seconds": {"packed": 0.5, "fused": 0.25},
        "max_difference": 1e-4,
    }  # fmt: skip
    for name, found in (("rendering", rendering), ("steps", {"cuda": STEP})):
        (tmp_path / "logs" / f"{name}.log").write_text(f"a table\n{json.dumps(found)}\n")
    (tmp_path / "training" / "metrics.json").write_text('{"psnr": 35.5, "images": [1, 2]}')
    return tmp_path


def test_the_report_holds_what_the_parts_found(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_report", str(folder)])
    with pytest.raises(SystemExit) as end:
        gpu_report.main()
    assert end.value.code == 1
    assert "failed: tests" in capsys.readouterr().out
    report = json.loads((folder / "report.json").read_text())
    assert report["parts"]["tests"] == {"status": 1, "seconds": 80, "command": "pytest tests"}
    assert report["training"]["psnr"] == 35.5
    assert report["steps"]["cuda"] == STEP
    text = (folder / "report.md").read_text()
    assert "| tests | failed (1) | 80 | `pytest tests` |" in text
    assert "64 x 48 pixels: 500.0 ms with packed samples, 250.0 ms in one kernel" in text
    assert "cuda: 61.2 ms" in text
    assert "assert 1 == 2" in text
    assert '"images"' not in text


def test_parts_that_left_nothing_are_left_out(folder):
    (folder / "logs" / "steps.log").write_text("Traceback\n")
    (folder / "logs" / "rendering.log").unlink()
    (folder / "training" / "metrics.json").unlink()
    report = gpu_report.collect(folder)
    assert report["steps"] is report["rendering"] is report["training"] is None
    assert "## Rendering" not in gpu_report.markdown(report, folder)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--wheels"], "--wheels needs a value"),
        (["--fast"], "unknown flag --fast"),
        (["--backend", "metal"], "--backend metal"),
        (["--lego", "nowhere/lego"], "nowhere/lego: no such folder"),
    ],
)
def test_a_wrong_command_line_ends_with_one_line(arguments, message, tmp_path):
    command = [shutil.which("bash"), SCRIPT, *arguments, "--out", tmp_path / "report"]
    if arguments == ["--wheels"]:
        command = command[:3]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "report").exists()
