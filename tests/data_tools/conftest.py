"""The tools are scripts beside the package: load them as modules."""

import importlib.util
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "data_tools"


@pytest.fixture
def load_tool():
    """`load_tool(name)` gives data_tools/<name>.py as a module."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"{name}_tool", TOOLS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
