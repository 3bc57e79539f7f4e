"""A run folder is one training's at a time."""

import subprocess
import sys

import pytest

from taichi_pynerf.errors import RunFolderError
from taichi_pynerf.runs.run_lock import run_lock

HOLD = """
import sys
from pathlib import Path
from taichi_pynerf.runs.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_told(holder, tmp_path):
    with (
        pytest.raises(RunFolderError, match=f"{tmp_path}: another training writes"),
        run_lock(tmp_path),
    ):
        pass


def test_a_killed_process_leaves_no_lock_and_no_file(holder, tmp_path):
    holder.kill()
    holder.wait()
    with run_lock(tmp_path):
        assert list(tmp_path.iterdir()) == []
