"""Taichi runs once per process: start it before any test, on the CPU, where CI is."""

import taichi_pynerf  # noqa: F401, I001  (sets the OpenMP policy before torch is imported)
import pytest

from taichi_pynerf import runtime


@pytest.fixture(scope="session", autouse=True)
def backend() -> str:
    return runtime.start("cpu")
