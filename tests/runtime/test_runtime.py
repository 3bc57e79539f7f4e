import argparse
import dataclasses
import os
import subprocess
import sys

import pytest
import torch

from taichi_pynerf import runtime
from taichi_pynerf.errors import BackendError
from taichi_pynerf.runtime import backend as backend_module
from taichi_pynerf.runtime import hardware, smoke_test
from taichi_pynerf.runtime.report import BackendReport, probe, table


def test_starting_again_keeps_the_backend_that_runs(backend):
    assert runtime.start(backend) == backend
    assert runtime.start() == backend


def test_another_backend_needs_another_process(backend):
    other = "cuda" if backend == "cpu" else "cpu"
    with pytest.raises(BackendError, match="new process"):
        runtime.start(other)


def test_unknown_backend():
    with pytest.raises(BackendError, match="cpu, cuda, vulkan"):
        runtime.start("opengl")


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
def test_memory_fraction_is_a_fraction(fraction):
    with pytest.raises(BackendError, match="device_memory_fraction"):
        runtime.start(device_memory_fraction=fraction)


def test_models_lie_where_torch_can_compute(backend):
    assert runtime.torch_device() == torch.device("cuda" if backend == "cuda" else "cpu")
    assert runtime.shares_memory() == (backend != "vulkan")
    assert runtime.on_cpu() == (backend == "cpu")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_threads_follow_the_affinity():
    script = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "from taichi_pynerf import runtime; import taichi, torch; runtime.start('cpu');"
        "config = taichi.lang.impl.current_cfg();"
        "print(config.cpu_max_num_threads, torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"], done.stderr


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
    ids=["version 2", "version 2, no limit", "version 1", "version 1, no limit", "no group"],
)
def test_quota_of_a_control_group(tmp_path, monkeypatch, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(48)))
    assert hardware.available_cpus() == (48 if quota is None else max(1, round(quota)))


# ---- smoke test -------------------------------------------------------------------------------


def run_smoke_test():
    return smoke_test.smoke_test(runtime.torch_device(), atomic=not runtime.on_cpu())


def test_this_backend_computes_rightly():
    assert run_smoke_test() is None


def silently_idle(*_, **__):
    """What Taichi's autodiff of arrays does on Vulkan: gradients stay zero."""


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (("encode", "encode_blocks"), "an encoding"),
        (("encode_adjoint_table", "encode_adjoint_table_atomic"), "the gradient of an encoding"),
    ],
)
def test_a_wrong_driver_is_found_out(monkeypatch, broken, words):
    right = smoke_test.hash_grid_kernels

    def faulty(spec, dtype):
        kernels = right(spec, dtype)
        return kernels._replace(**dict.fromkeys(broken, silently_idle))

    monkeypatch.setattr(smoke_test, "hash_grid_kernels", faulty)
    assert run_smoke_test().startswith(words)


def test_a_backend_that_computes_wrongly_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(backend_module, "_started", None)
    monkeypatch.setattr(backend_module.ti, "init", silently_idle)
    monkeypatch.setattr(backend_module, "smoke_test", lambda *_, **__: "an encoding is wrong by 1")
    with pytest.raises(BackendError, match="'cpu' does not work here: an encoding is wrong by 1"):
        runtime.start("cpu")
    assert backend_module._started is None


# ---- report -----------------------------------------------------------------------------------


def test_report_on_the_backend_that_runs(backend):
    report = probe(backend)
    assert report.fault is None
    assert report.device
    assert report.memory > 2**20


def test_report_on_a_backend_that_does_not_run(backend):
    other = "cuda" if backend == "cpu" else "cpu"
    assert "new process" in probe(other).fault


def test_table_says_why_not():
    works = BackendReport("cpu", "A processor", "4 processors", 2**33, None)
    absent = BackendReport("cuda", "", "", None, "torch finds no CUDA device")
    heading, first, second = table([works, absent]).splitlines()
    assert heading.split() == ["backend", "device", "driver", "memory", "works"]
    assert first.endswith("8.0 GiB  yes")
    assert second.startswith("cuda ")
    assert second.endswith("no: torch finds no CUDA device")
    assert heading.index("works") == first.index("yes") == second.index("no:")


def test_reports_are_plain_values():
    for value in dataclasses.asdict(probe("cpu")).values():
        assert value is None or isinstance(value, (str, int))


def test_the_flags_of_programs_say_what_starts(backend):
    parser = argparse.ArgumentParser()
    runtime.add_backend_flags(parser)
    assert runtime.start_backend(parser.parse_args([])) == backend
    defaults = parser.parse_args(["--backend", backend])
    assert defaults.device_memory_fraction == runtime.DEVICE_MEMORY_FRACTION
    wrong = parser.parse_args(["--device_memory_fraction", "1.5"])
    with pytest.raises(BackendError, match=r"1\.5: it must lie between 0 and 1"):
        runtime.start_backend(wrong)


ALONE = """
import torch
from taichi_pynerf.kernels.hash_grid import HashGridSpec
from taichi_pynerf.ops.hash_grid import hash_encode
spec = HashGridSpec(resolutions=(16, 32), features_per_level=2, hash_table_size=2**14)
print(hash_encode(torch.rand(5, 3), torch.ones(spec.num_entries, 2), spec).sum().item())
"""


def test_an_op_by_itself_starts_the_backend():
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(20)


@pytest.mark.parametrize(
    ("backend", "words"),
    [("cuda", "torch finds no CUDA device"), ("vulkan", "no Vulkan device was found")],
)
def test_a_backend_that_is_absent_is_refused_and_not_replaced(monkeypatch, backend, words):
    begun = []
    monkeypatch.setattr(backend_module, "_started", None)
    monkeypatch.setattr(backend_module.ti, "init", lambda **options: begun.append(options))
    monkeypatch.setattr(backend_module.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(backend_module.hardware, "vulkan_devices", list)
    with pytest.raises(BackendError, match=words):
        runtime.start(backend)
    assert begun == []
    assert backend_module._started is None
