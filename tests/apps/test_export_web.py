"""apps/export.py --format web: its flags, and what it says of bad input."""

import os
import re
import shutil
import sys

import pytest
from scene_makers import write_blender_scene
from tiny import roughen, tiny_model

from taichi_pynerf.apps import export
from taichi_pynerf.runs.checkpoint import save_pyramid_model
from taichi_pynerf.runs.scene_source import SceneSource


def save(folder, scene, **settings):
    """A run with a rough model."""
    folder.mkdir()
    model = tiny_model(**settings)
    roughen(model.field)
    save_pyramid_model(model, model.config, folder / "checkpoint.pth", scene=scene)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with its scene beside it, which no test changes."""
    folder = tmp_path_factory.mktemp("web")
    scene = write_blender_scene(folder / "noise")
    return save(folder / "run", SceneSource(str(scene)).to_dict())


@pytest.fixture
def run_dir(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


@pytest.fixture
def program(monkeypatch, capsys):
    """Run the program as a shell would; (status, standard output, standard error)."""

    def start(*flags):
        monkeypatch.setattr(sys, "argv", ["pynerf-export", *map(str, flags)])
        status = 0
        try:
            export.start()
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return start


def test_a_page_its_size_and_what_rounding_costs(program, run_dir):
    status, said, _ = program("--checkpoint", run_dir, "--format", "web")
    assert status == 0
    page = run_dir / "scene.html"
    assert f"{page.stat().st_size / 1e3:.2f} kB: {page}" in said
    psnr = re.search(
        r"PSNR of \d+ \w+ views: ([\d.]+) dB as trained, ([\d.]+) dB in the page \(([+-][\d.]+)\)",
        said,
    )
    assert float(psnr[2]) - float(psnr[1]) == pytest.approx(float(psnr[3]), abs=0.011)
    assert "<title>run</title>" in page.read_text()


def test_bits_title_and_output(program, run_dir, tmp_path):
    sizes = []
    for bits in (8, 16):
        page = tmp_path / f"{bits}.html"
        flags = ("--table_bits", bits, "--title", "a <b> & c", "--output", page)
        assert program("--checkpoint", run_dir, "--format", "web", *flags)[0] == 0
        assert "<title>a &lt;b&gt; &amp; c</title>" in page.read_text()
        sizes.append(page.stat().st_size)
    # A byte more for each number of the tables; they are compressed, and written as text.
    numbers = sum(encoder.table.numel() for encoder in tiny_model().field.encoders)
    assert 0.5 * numbers < sizes[1] - sizes[0] < 2 * numbers


def test_a_limit_leaves_out_the_finest_levels_and_says_so(program, run_dir):
    flags = ("--checkpoint", run_dir, "--format", "web")
    assert program(*flags)[0] == 0
    page = run_dir / "scene.html"
    limit = 0.95 * page.stat().st_size / 1e6
    status, said, _ = program(*flags, "--max_megabytes", limit)
    assert status == 0
    assert re.search(r"left out the \d finest of 4 levels", said)
    assert page.stat().st_size <= limit * 1e6


def test_a_folder_is_written_anew_and_keeps_no_older_level(program, run_dir):
    flags = ("--checkpoint", run_dir, "--format", "web", "--folder")
    assert program(*flags)[0] == 0
    folder = run_dir / "web"
    before = {path.name for path in folder.iterdir()}
    assert {"index.html", "level_0.bin", "level_3.bin"} <= before
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert program(*flags, "--max_megabytes", 0.95 * total / 1e6)[0] == 0
    after = {path.name for path in folder.iterdir()}
    assert after < before
    assert "level_3.bin" not in after


def test_without_its_scene_a_page_has_one_view_of_its_own(program, tmp_path):
    run = save(tmp_path / "run", None)
    status, said, _ = program("--checkpoint", run, "--format", "web")
    assert status == 0
    assert "no training views" in said
    assert "PSNR" not in said
    assert '"name": "overview"' in (run / "scene.html").read_text()


BAD = {
    "no such format": (["--format", "wep"], "wep"),
    "no run": (["--format", "web", "--checkpoint", "nowhere"], "nowhere"),
    "too small": (["--format", "web", "--max_megabytes", "0.001"], "coarsest level alone takes"),
    "no size": (["--format", "web", "--max_megabytes", "0"], "max_megabytes is 0"),
    "less than nothing": (["--format", "web", "--max_megabytes", "-3"], "max_megabytes is -3"),
    "not finite": (["--format", "web", "--max_megabytes", "nan"], "max_megabytes is nan"),
    "not a number": (["--format", "web", "--max_megabytes", "few"], "max_megabytes"),
    "bits": (["--format", "web", "--table_bits", "4"], "table_bits"),
    "a folder of points": (["--format", "pointcloud", "--folder"], "--folder is of a web page"),
    "a small mesh": (["--format", "mesh", "--max_megabytes", "1"], "--max_megabytes is of a web"),
    "a title": (["--format", "checkpoint", "--title", "x"], "--title is of a web page"),
    "cropped": (["--format", "web", "--crop", "0", "0", "0", "1", "1", "1"], "--crop cuts"),
    "another ending": (["--format", "web", "--output", "a.htm"], "a.htm: a web is written"),
    "no folder": (["--format", "web", "--output", "no/such/a.html"], "there is no folder no/such"),
    "below a file": (["--format", "web", "--output", "file/a.html"], "there is no folder file"),
    "a folder's name": (["--format", "web", "--output", "folder.html"], "this is a folder"),
    "cannot be written": (["--format", "web", "--output", "/proc/a.html"], "/proc/a.html"),
    "a file's name": (["--format", "web", "--folder", "--output", "file"], "this is a file"),
    "others' files": (["--format", "web", "--folder", "--output", "site"], "holds other files"),
    "moved": (["--format", "web", "--data_dir", "nowhere"], "nowhere"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(
    program, run_dir, tmp_path, monkeypatch, kind
):
    flags, words = BAD[kind]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<html>my own pages</html>")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    status, _, error = program("--checkpoint", run_dir, *flags)
    last = error.strip().splitlines()[-1]
    assert status == 2
    assert last.startswith("error: ")
    assert words in last
    assert "Traceback" not in error
    assert sum(line.startswith("error") for line in error.splitlines()) == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything")
def test_a_folder_without_permission_is_named_before_the_work(program, run_dir, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    status, _, error = program(
        "--checkpoint", run_dir, "--format", "web", "--output", closed / "a.html"
    )
    assert status == 2
    assert f"the folder {closed} cannot be written to" in error


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"sampler": "hierarchical"}, "hierarchical"), ({"share_feature_grid": False}, "per level")],
)
def test_a_model_that_a_page_does_not_cover_is_named(program, tmp_path, settings, words):
    run = save(tmp_path / "run", None, **settings)
    status, _, error = program("--checkpoint", run, "--format", "web")
    assert status == 2
    assert error.startswith("error: a page does not cover")
    assert words in error
    assert [path.name for path in run.iterdir()] == ["checkpoint.pth"]


def test_one_head_cannot_be_made_coarser(program, tmp_path):
    run = save(tmp_path / "run", None, single_level=True)
    status, _, error = program("--checkpoint", run, "--format", "web", "--max_megabytes", "0.001")
    assert status == 2
    assert "single level's one head needs the whole grid" in error
