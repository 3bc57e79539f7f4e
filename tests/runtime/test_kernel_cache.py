"""A killed process must not deprive later ones of their compiled kernels."""

import os
import subprocess
import sys
import time
from pathlib import Path

from taichi_pynerf.runtime.kernel_cache import (
    LOCK_NAME,
    STALE_SECONDS,
    drop_stale_lock,
    kernel_cache_folder,
    writable_cache_folder,
)


def test_a_lock_that_a_killed_process_left_is_removed(tmp_path):
    lock = tmp_path / LOCK_NAME
    lock.touch()
    drop_stale_lock(tmp_path)
    assert lock.exists()  # somebody may hold it now
    past = time.time() - STALE_SECONDS - 1
    os.utime(lock, (past, past))
    drop_stale_lock(tmp_path)
    assert not lock.exists()
    drop_stale_lock(tmp_path)  # none there
    lock.touch()
    future = time.time() + STALE_SECONDS + 60
    os.utime(lock, (future, future))  # the clock has been set back
    drop_stale_lock(tmp_path)
    assert not lock.exists()


def test_the_folder_is_the_one_that_taichi_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("TI_OFFLINE_CACHE_FILE_PATH", str(tmp_path))
    assert kernel_cache_folder() == tmp_path
    monkeypatch.delenv("TI_OFFLINE_CACHE_FILE_PATH")
    assert kernel_cache_folder().name == "ticache"


def test_a_folder_that_can_be_written_is_taken_in_silence(monkeypatch, tmp_path, recwarn):
    monkeypatch.setenv("TI_OFFLINE_CACHE_FILE_PATH", str(tmp_path / "new" / "ticache"))
    assert writable_cache_folder() == tmp_path / "new" / "ticache"
    assert list(writable_cache_folder().iterdir()) == []
    assert not recwarn.list


def test_without_a_home_folder_a_program_ends_in_good_order(tmp_path):
    """Taichi alone crashes at its end, after all that it was for is done."""
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"  # cannot be made, even by root
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    work = "from taichi_pynerf import runtime; print(runtime.start('cpu'))"
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(temporary)}
    environment.pop("TI_OFFLINE_CACHE_FILE_PATH", None)
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", work], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "cpu"
    assert "kernels are compiled anew at each start; set TI_OFFLINE_CACHE_FILE_PATH" in done.stderr
    assert f"{home}/.cache" in done.stderr
    assert list(temporary.iterdir()) == []
