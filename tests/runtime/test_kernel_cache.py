"""A killed process must not deprive later ones of their compiled kernels."""

import os
import time

from taichi_pynerf.runtime.kernel_cache import (
    LOCK_NAME,
    STALE_SECONDS,
    drop_stale_lock,
    kernel_cache_folder,
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
