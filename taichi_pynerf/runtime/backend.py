"""Choosing and starting the Taichi backend, beside the thread pools of torch.

Taichi has one backend per process. After each parallel region, torch's OpenMP workers would spin
and take the processor from Taichi's workers. So the package sets `OMP_WAIT_POLICY=PASSIVE` and a
short `GOMP_SPINCOUNT` before it imports torch (see `taichi_pynerf/__init__.py`).
"""

import contextlib
import io
import sys

import taichi as ti
import torch

from taichi_pynerf.errors import BackendError
from taichi_pynerf.runtime import hardware
from taichi_pynerf.runtime.allocator import keep_freed_memory
from taichi_pynerf.runtime.kernel_cache import drop_stale_lock, writable_cache_folder
from taichi_pynerf.runtime.smoke_test import smoke_test

BACKENDS = ("auto", "cpu", "cuda", "vulkan")
DEVICE_MEMORY_FRACTION = 0.2  # small: torch needs the rest

_started: str | None = None


def start(backend: str = "auto", *, device_memory_fraction: float = DEVICE_MEMORY_FRACTION) -> str:
    """Start Taichi once per process and return the backend's name, "cpu", "cuda" or "vulkan".

    A small encoding and its gradient are computed and compared with torch's, so that a driver that
    computes wrongly is refused.

    Args:
        backend: one of `BACKENDS`; "auto" takes CUDA if torch and Taichi can both use it, else
            the CPU.
        device_memory_fraction: share of a CUDA device's memory that Taichi reserves.

    Raises:
        BackendError: the backend is unknown, absent or computes wrongly, or another one already
            runs.
    """
    global _started
    if backend not in BACKENDS:
        raise BackendError(f"unknown backend {backend!r}: choose one of {', '.join(BACKENDS)}")
    if not 0 < device_memory_fraction < 1:
        raise BackendError(
            f"device_memory_fraction is {device_memory_fraction}: it must lie between 0 and 1"
        )
    if _started is not None:
        if backend not in ("auto", _started):
            raise BackendError(
                f"backend {backend!r} was asked for, but {_started!r} runs in this process "
                "already: start a new process for another backend"
            )
        return _started
    if backend == "auto":
        backend = "cuda" if torch.cuda.is_available() and _has(ti.cuda) else "cpu"
    _check_present(backend)
    keep_freed_memory()
    num_threads = hardware.available_cpus()
    if torch.get_num_threads() > num_threads:
        torch.set_num_threads(num_threads)
    cache_folder = writable_cache_folder()
    drop_stale_lock(cache_folder)
    with _quiet():
        ti.init(
            arch={"cpu": ti.cpu, "cuda": ti.cuda, "vulkan": ti.vulkan}[backend],
            log_level=ti.WARN,
            offline_cache=True,
            offline_cache_file_path=str(cache_folder),
            cpu_max_num_threads=num_threads,
            # Otherwise a thread gets at least 512 iterations of a loop, so that loops over few but
            # large tasks, such as the levels of a grid, would run on one thread.
            make_cpu_multithreading_loop=False,
            device_memory_fraction=device_memory_fraction,
            random_seed=0,
        )
    _started = backend
    try:
        fault = smoke_test(torch_device(), atomic=not on_cpu())
    except RuntimeError as error:  # includes Taichi's own errors in compiling or launching
        reason = str(error).strip().splitlines() or [type(error).__name__]
        fault = f"a small kernel does not run: {reason[-1]}"
    if fault is not None:
        _started = None
        advice = "update the driver, or try --backend cpu" if backend != "cpu" else "reinstall it"
        raise BackendError(f"backend {backend!r} does not work here: {fault}; {advice}")
    return backend


def ensure_started() -> None:
    """Start Taichi as by default, unless it runs: by `start`, or by the caller's own `ti.init`."""
    if _started is None and ti.lang.impl.get_runtime().prog is None:
        start()


def _check_present(backend: str) -> None:
    """Raise BackendError where Taichi would quietly take the CPU instead."""
    if backend == "cuda":
        if not torch.cuda.is_available():
            raise BackendError("backend 'cuda': torch finds no CUDA device; try --backend cpu")
        if not _has(ti.cuda):
            raise BackendError("backend 'cuda': Taichi finds no CUDA driver; try --backend cpu")
    if backend == "vulkan" and sys.platform == "darwin":
        raise BackendError("backend 'vulkan' is not offered on macOS: take --backend cpu")
    if backend == "vulkan" and not (hardware.vulkan_devices() and _has(ti.vulkan)):
        raise BackendError(
            "backend 'vulkan': no Vulkan device was found; install a driver (on Debian and Ubuntu "
            "mesa-vulkan-drivers and libvulkan1 give one that needs no graphics card), or try "
            "--backend cpu"
        )


def _has(arch: object) -> bool:
    with _quiet():
        return ti.lang.misc.is_arch_supported(arch)


def _quiet() -> contextlib.AbstractContextManager[object]:
    """Suppress Taichi's greeting on standard output, where programs print their results."""
    return contextlib.redirect_stdout(io.StringIO())


def shares_memory() -> bool:
    """Whether kernels work on torch's memory itself; otherwise Taichi copies at each launch."""
    return _started != "vulkan"


def on_cpu() -> bool:
    """Whether kernels run on the processor, that is on few threads."""
    return _started == "cpu"


def on_vulkan_gpu() -> bool:
    """Whether kernels run on a graphics card through Vulkan, where torch cannot follow."""
    return _started == "vulkan" and hardware.vulkan_devices()[0].kind != "processor"


def torch_device() -> torch.device:
    """The torch device of models. With Vulkan it is the CPU, as torch has no Vulkan device."""
    return torch.device("cuda" if _started == "cuda" else "cpu")


def runs_kernels(tensor: torch.Tensor) -> bool:
    """Whether kernels have been started and work where the tensor is, without copying it."""
    device = torch_device()
    return _started is not None and shares_memory() and tensor.device.type == device.type


def device_name() -> str:
    """The name of the device that the kernels run on, for people."""
    if _started == "cuda":
        return torch.cuda.get_device_name()
    if _started == "vulkan":
        return f"{hardware.vulkan_devices()[0].name}; networks on {hardware.cpu_name()}"
    return f"{hardware.cpu_name()}, {torch.get_num_threads()} threads"
