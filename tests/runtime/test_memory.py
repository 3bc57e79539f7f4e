"""What memory is free, and the words of programs that need more."""

import resource

import pytest
import torch
from tiny import tiny_config

from taichi_pynerf.apps import cli
from taichi_pynerf.data import pixels
from taichi_pynerf.errors import ConfigError, SceneError
from taichi_pynerf.model.encodings import table_bytes
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.runtime import memory
from taichi_pynerf.training import setup

CPU = torch.device("cpu")
GIB = 2**30


@pytest.fixture
def files(monkeypatch):
    """{path: text} of the system's files, to be filled."""
    contents = {"/proc/meminfo": "MemAvailable: 8388608 kB\n"}
    monkeypatch.setattr(memory, "_read", lambda path: contents.get(str(path), ""))
    monkeypatch.setattr(
        memory, "_is_folder", lambda path: any(f.startswith(f"{path}/") for f in contents)
    )
    return contents


def test_what_the_system_calls_available(files):
    assert memory.free_memory(CPU) == 8 * GIB


@pytest.mark.parametrize(
    ("line", "top", "names"),
    [
        ("0::/jobs/7\n", "/sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")),
        (
            "5:cpu:/\n4:memory:/jobs/7\n0::/\n",
            "/sys/fs/cgroup/memory",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_the_limits_of_control_groups(files, line, top, names):
    files["/proc/self/cgroup"] = line
    limit, used, cache = names
    for folder, most in (("", "max"), ("/jobs", str(3 * GIB)), ("/jobs/7", str(4 * GIB))):
        files[f"{top}{folder}/{limit}"] = most + "\n"
        files[f"{top}{folder}/{used}"] = f"{GIB}\n"
        files[f"{top}{folder}/memory.stat"] = f"anon 1\n{cache} {GIB // 2}\n"
    assert memory.free_memory(CPU) == 2.5 * GIB  # of the group above, which grants less
    files["/proc/self/cgroup"] = line.replace("/jobs/7", "/seen/from/outside")
    files[f"{top}/{limit}"] = str(GIB + 10)
    assert memory.free_memory(CPU) == 10 + GIB // 2  # in a container, the top is what is seen


def test_the_limit_of_the_address_space(files, monkeypatch):
    files["/proc/self/statm"] = "1000 10 1 1 1 1 1"
    page = resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (5000 * page, resource.RLIM_INFINITY))
    assert memory.free_memory(CPU) == 4000 * page


def test_a_system_that_does_not_tell(files):
    files.clear()
    assert memory.known_free_memory(CPU) is None
    assert memory.free_memory(CPU) == 2 * GIB


@pytest.mark.parametrize("shared", [True, False])
def test_the_size_of_tables_is_that_of_the_model(shared):
    config = tiny_config(share_feature_grid=shared)
    tables = [encoder.table for encoder in PyNeRF(config).field.encoders]
    assert table_bytes(config) == sum(table.numel() * table.element_size() for table in tables)


def test_a_training_that_does_not_fit_says_what_would(monkeypatch):
    large = tiny_config(hash_table_size=2**22, max_resolution=2048, num_levels=10)
    fits = tiny_config(hash_table_size=2**18, max_resolution=2048, num_levels=10)
    monkeypatch.setattr(setup, "known_free_memory", lambda _: setup.training_bytes(fits) + 1000)
    setup.check_memory(fits, CPU)
    with pytest.raises(ConfigError, match=r"--img_downscale.*--hash_table_size 262144 would fit"):
        setup.check_memory(large, CPU)
    monkeypatch.setattr(setup, "known_free_memory", lambda _: 1000)
    with pytest.raises(ConfigError, match="no table would fit"):
        setup.check_memory(large, CPU)
    monkeypatch.setattr(setup, "known_free_memory", lambda _: None)
    setup.check_memory(large, CPU)  # nobody knows, so nothing is refused


def test_images_that_do_not_fit(monkeypatch):
    monkeypatch.setattr(pixels, "free_memory", lambda _: 10_000)
    assert pixels.allocate(2000, 4).shape == (2000, 4)
    with pytest.raises(
        SceneError, match=r"need 1.0 GiB.* free\); load them smaller.*img_downscale"
    ):
        pixels.allocate(GIB // 4, 4)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=["Python", "torch", "CUDA", "system"],
)
def test_a_program_without_memory_ends_with_one_line(error, capsys):
    def main(_):
        raise error

    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: there is not enough memory")
    assert "--img_downscale" in line


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def main(_):
        raise RuntimeError("a fault of the program")

    with pytest.raises(RuntimeError, match="a fault"):
        cli.run(main)
