"""The tables of docs/results.md: held to the result files, and old results marked."""

import json
import re
import shutil
import subprocess
from types import SimpleNamespace

import pytest
from test_layers import IMPORTS
from tiny_rows import made_up_result

from benchmarks.quality import page
from benchmarks.quality.history import CURRENT, DEPENDS_ON, NOT_NEEDED, History
from benchmarks.quality.page import BEGIN, END, ROOT, found_results, record, write_page
from benchmarks.quality.rows import ROWS
from taichi_pynerf.errors import ConfigError

ROW = "lego800"


def git(root, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", "-C", str(root), *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(root, path, text):
    """Write a file, and commit it; the commit's hash."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    git(root, "add", path)
    git(root, "commit", "-m", path)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path):
    """A repository with a page and a file of the library."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "-q")
    commit(root, "docs/results.md", f"# Results\n\n{BEGIN}\n{END}\n\nThe end.\n")
    commit(root, "taichi_pynerf/config.py", "a = 1\n")
    return root


def result_of(root, seed=0, **changes):
    """A result of the row as it is declared today, by the checkout's last commit."""
    result = made_up_result(ROW, seed, 30.0 + seed)
    result |= {"commit": git(root, "rev-parse", "HEAD"), "changed_files": ""}
    result["declared"] = {"preset": ROWS[ROW].preset}
    result["tests"]["test"]["images"] = [{"name": "r_0", "psnr": 1.0}]
    return {**result, "declared": page.today(result), **changes}


def line_of_row(root):
    """The line of the row in the page, after it was made."""
    text = write_page(root).read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| pyramid |")]
    return line


def test_rows_are_marked_once_their_code_has_changed(checkout):
    list(record([result_of(checkout)], checkout))
    assert line_of_row(checkout).endswith(f"| {CURRENT} |")
    commit(checkout, "taichi_pynerf/viewer/camera.py", "b = 1\n")
    commit(checkout, "docs/other.md", "text\n")
    commit(checkout, "tests/test_a.py", "c = 1\n")
    assert line_of_row(checkout).endswith(f"| {CURRENT} |")
    commit(checkout, "taichi_pynerf/config.py", "a = 2\n")
    assert line_of_row(checkout).endswith("| **old: 1 change since** |")
    commit(checkout, "benchmarks/quality/row_runs.py", "d = 1\n")
    assert line_of_row(checkout).endswith("| **old: 2 changes since** |")
    list(record([result_of(checkout)], checkout))
    assert line_of_row(checkout).endswith(f"| {CURRENT} |")


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"commit": None}, "**unknown commit**"),
        ({"commit": "0" * 40}, "**unknown commit**"),
        ({"commits": [None]}, "**unknown commit**"),
        (
            {"changed_files": "M taichi_pynerf/model/field.py"},
            "**had changes that are in no commit**",
        ),
        ({"changed_files": "M docs/data.md\n M taichi_pynerf/viewer/camera.py"}, CURRENT),
        ({"declared": {"label": "pyramid"}}, "**row declared otherwise today**"),
        ({"row": "gone"}, "**row declared otherwise today**"),
    ],
)
def test_what_else_is_marked(checkout, changes, mark):
    result = {**result_of(checkout), **changes}
    assert History(checkout).state(result, page.today(result)) == mark


def test_a_training_that_began_with_older_code_is_old(checkout):
    first = git(checkout, "rev-parse", "HEAD")
    commit(checkout, "taichi_pynerf/config.py", "a = 2\n")
    result = result_of(checkout, commits=[first])
    assert History(checkout).state(result, page.today(result)) == "**old: 1 change since**"


def test_the_page_is_that_of_the_files_and_of_nothing_else(checkout):
    path = checkout / "docs" / "results.md"
    write_page(checkout)
    empty = path.read_text()
    assert empty.startswith(f"# Results\n\n{BEGIN}\n")
    assert empty.endswith(f"{END}\n\nThe end.\n")
    assert all(f"`{name}`" in empty for name in ROWS)
    assert "| PyNeRF | 36.63 |" in empty
    list(record([result_of(checkout, seed) for seed in (0, 1)], checkout))
    write_page(checkout)
    made = path.read_text()
    not_run = made[made.index("### Not run yet") :]
    assert f"| `{ROW}` |" not in not_run
    assert "`python -m benchmarks.quality lego800 --data_dir path/to/scenes --seeds 0 1`" in made
    assert "On a processor." in made
    assert "**32.00" not in made  # means of the two seeds, and of two scales
    assert "**31.50** ± 0.71" in made
    path.write_text(made.replace("31.50", "36.64"))
    write_page(checkout)
    assert path.read_text() == made
    (kept,) = (checkout / page.KEPT / ROW).glob("seed1/*")
    assert "images" not in json.loads(kept.read_text())["tests"]["test"]
    kept.unlink()
    (checkout / page.KEPT / ROW / "seed0" / "result.json").unlink()
    write_page(checkout)
    assert path.read_text() == empty


def test_without_a_checkout_and_its_history_the_page_stays(checkout, tmp_path):
    away = tmp_path / "away"
    (away / "docs").mkdir(parents=True)
    page_away = away / "docs" / "results.md"
    page_away.write_text((checkout / "docs" / "results.md").read_text())
    with pytest.raises(ConfigError, match=r"away: this is no git checkout"):
        write_page(away)
    with pytest.raises(ConfigError, match=r"docs: this is no git checkout"):
        History(checkout / "docs")  # files within the checkout of something else
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{checkout}", "shallow")
    with pytest.raises(ConfigError, match=r"a part of its history alone: git fetch --unshallow"):
        write_page(tmp_path / "shallow")
    assert page_away.read_text().endswith(f"{BEGIN}\n{END}\n\nThe end.\n")


def test_a_page_without_marks_and_a_file_that_is_no_result_are_named(checkout):
    path = checkout / page.KEPT / ROW / "seed0" / "result.json"
    path.parent.mkdir(parents=True)
    for text in ("", "[]", "3", '{"row": "lego800"}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"result.json: this is no result of a row"):
            write_page(checkout)
    path.unlink()
    (checkout / "docs" / "results.md").write_text(END + BEGIN)
    with pytest.raises(ConfigError, match=r"results.md: the marks around the tables are gone"):
        write_page(checkout)


def test_this_page_is_made_from_the_files_that_are_here():
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    region = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    # The last column changes with the history.
    known = re.sub(rf"\| (?:{CURRENT}|\*\*[^|]*\*\*) \|$", "| state |", region, flags=re.M)
    history = SimpleNamespace(state=lambda *_: "state")
    assert known.strip() == page.tables_text(ROOT, history).strip(), (
        "run: python -m benchmarks.quality --docs"
    )
    kept = {path.parent.parent.name for path in (ROOT / page.KEPT).glob("*/*/result.json")}
    assert kept <= set(ROWS)
    assert len(found_results(ROOT / page.KEPT, ROW)) == len(
        list((ROOT / page.KEPT / ROW).glob("*"))
    )


def test_rows_need_none_of_the_folders_that_may_change():
    """What `row_runs` imports, and what that imports, lies in other folders."""
    source = (ROOT / DEPENDS_ON[1]).read_text(encoding="utf-8")
    names = re.findall(r"^from taichi_pynerf\.([\w.]+) import", source, flags=re.M)
    seen, todo = set(), [*names, "model.model", "config", "runtime"]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += IMPORTS[name][0] - {"__init__"}
    assert len(seen) > 50
    assert {name.split(".")[0] for name in seen} & set(NOT_NEEDED) == set()
    for folder in NOT_NEEDED:
        assert (ROOT / "taichi_pynerf" / folder).is_dir()
