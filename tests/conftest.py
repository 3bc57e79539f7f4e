"""Taichi runs once per process: start it before any test.

On the CPU, where CI is; `TAICHI_PYNERF_TEST_BACKEND=vulkan pytest tests/ops` tries another backend.
"""

import os

import pytest

import taichi_pynerf  # noqa: F401  (sets the OpenMP policy before torch is imported)
from taichi_pynerf import runtime

BACKEND = os.environ.get("TAICHI_PYNERF_TEST_BACKEND", "cpu")


def pytest_configure(config):
    config.addinivalue_line("markers", "float64: needs kernels in float64, which Vulkan lacks")


def pytest_runtest_setup(item):
    if BACKEND == "vulkan" and item.get_closest_marker("float64"):
        pytest.skip("Vulkan has no float64")


@pytest.fixture(scope="session", autouse=True)
def backend() -> str:
    return runtime.start(BACKEND)
