"""One source, several backends: what the CPU computes the others do too.

Each backend runs in a process of its own, as Taichi has one backend per process. The CPU's ops are
held to their twins by `tests/ops`; here the other backends are.
A backend that this machine has no device for is skipped. Mesa's software driver of Vulkan needs no
device: where it is installed Vulkan must work.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from taichi_pynerf.runtime import hardware

TESTS = Path(__file__).parents[1]
SOFTWARE_DRIVER = Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json")

MISSING = {
    "cuda": None if torch.cuda.is_available() else "torch finds no CUDA device",
    "vulkan": None
    if any(SOFTWARE_DRIVER) or hardware.vulkan_devices()
    else "no Vulkan driver (on Debian and Ubuntu: mesa-vulkan-drivers libvulkan1)",
}
OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(reason is not None, reason=reason or "it is here"))
    for name, reason in MISSING.items()
]


def call(*arguments, **environment):
    """Run Python in a process of its own; its output is the message if it fails."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env={**os.environ, **environment},
        cwd=TESTS.parent, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.mark.parametrize("backend", OTHERS)
def test_every_op_and_gradient_agrees_with_its_twin(backend):
    out = call(
        "-m", "pytest", "-p", "no:cacheprovider", TESTS / "ops", TESTS / "test_fused_renderer.py",
        TAICHI_PYNERF_TEST_BACKEND=backend,
    )  # fmt: skip
    assert " passed" in out or "100%" in out
