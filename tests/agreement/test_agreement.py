"""One source, several backends: all compute, train and render the same.

Each backend runs in processes of its own, as Taichi has one backend per process. The CPU's ops are
held to their twins by `tests/ops`; here the other backends are, and then all are held to the CPU.
A backend that this machine has no device for is skipped. Mesa's software driver of Vulkan needs no
device: where it is installed Vulkan must work.
"""

import json
import os
import re
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
    """Run Python in its own process; if it fails, its output is the message."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env={**os.environ, **environment},
        cwd=TESTS.parent, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def work(backend, folder, *arguments):
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join(filter(None, [str(TESTS.parent), os.environ.get("PYTHONPATH")]))
    call(TESTS / "agreement" / "worker.py", backend, folder, *arguments, PYTHONPATH=path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("agreement")


@pytest.fixture(scope="module")
def cpu(folder):
    """A training on the CPU, and its renders."""
    work("cpu", folder / "cpu")
    return folder / "cpu"


@pytest.fixture(scope="module", params=OTHERS)
def other(request, folder, cpu):
    """The same on another backend. Each of the two also renders the other's checkpoint."""
    name = request.param
    work(name, folder / name, cpu / "checkpoint.pth")
    work("cpu", cpu, folder / name / "checkpoint.pth", "--render_only")
    return folder / name


def figures(folder):
    return json.loads((folder / "figures.json").read_text())


def mean_difference(first, second):
    return float((torch.load(first) - torch.load(second)).abs().mean())


@pytest.mark.parametrize("backend", OTHERS)
def test_every_op_and_gradient_agrees_with_its_twin(backend):
    out = call(
        "-m", "pytest", "-v", "-p", "no:cacheprovider", TESTS / "ops",
        TESTS / "model" / "test_fused_renderer.py",
        TAICHI_PYNERF_TEST_BACKEND=backend,
    )  # fmt: skip
    passed = re.search(r"(\d+) passed", out)
    assert passed is not None
    assert int(passed[1]) > 100


def test_the_scene_is_learned(cpu):
    assert figures(cpu)["psnr"] > 15
    assert torch.load(cpu / "render.pt").std() > 0.1


def test_the_first_losses_agree(cpu, other):
    ours, theirs = figures(other)["losses"], figures(cpu)["losses"]
    assert len(ours) == 5
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_trainings_end_alike(cpu, other):
    assert figures(other)["psnr"] == pytest.approx(figures(cpu)["psnr"], abs=0.3)


def test_a_checkpoint_renders_alike_on_both(cpu, other):
    trained_there = mean_difference(other / "render.pt", cpu / f"render_of_{other.name}.pt")
    trained_here = mean_difference(cpu / "render.pt", other / "render_of_cpu.pt")
    assert trained_there < 1 / 255
    assert trained_here < 1 / 255
