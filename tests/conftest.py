"""Taichi runs once per process: start it before any test.

On the CPU, where CI is; `TAICHI_PYNERF_TEST_BACKEND=vulkan pytest tests/ops` tries another backend.
"""

import os
from pathlib import Path

import pytest

import taichi_pynerf  # noqa: F401  (sets the OpenMP policy before torch is imported)
from taichi_pynerf import runtime
from taichi_pynerf.runtime.hardware import available_cpus

BACKEND = os.environ.get("TAICHI_PYNERF_TEST_BACKEND", "cpu")


MOST_WORKERS = 4  # each has a torch and a Taichi of its own, about 1 GB

# Folders and files whose tests train, start programs or open windows. They and campaigns are what
# `pytest -m "not slow"` leaves out.
SLOW = (
    "agreement/", "apps/test_cli", "apps/test_export", "apps/test_render", "apps/test_train",
    "benchmarks/", "export/web/", "model/test_renderer", "test_readme", "training/", "viewer/ggui/",
    "viewer/test_live", "viewer/test_viewer", "viewer/web/test_audience",
    "viewer/web/test_bad_pages", "viewer/web/test_browser", "viewer/web/test_flights",
    "viewer/web/test_panels", "viewer/web/test_watched_training",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """The whole suite runs in several processes, a file in one; `-n 0`: all in this one."""
    # A worker is given the same command line, and must not start workers of its own.
    worker = hasattr(config, "workerinput")
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not worker
    if whole and config.getoption("numprocesses", 0) is None and not config.option.usepdb:
        config.option.numprocesses = min(available_cpus(), MOST_WORKERS)
        config.option.dist = "loadfile"


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here).as_posix() if item.path.is_relative_to(here) else ""
        if place.startswith(SLOW) or item.get_closest_marker("campaign"):
            item.add_marker("slow")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: trains, starts programs or opens windows")
    config.addinivalue_line("markers", "float64: needs kernels in float64, which Vulkan lacks")


def pytest_runtest_setup(item):
    if BACKEND == "vulkan" and item.get_closest_marker("float64"):
        pytest.skip("Vulkan has no float64")


@pytest.fixture(scope="session", autouse=True)
def backend() -> str:
    return runtime.start(BACKEND)
