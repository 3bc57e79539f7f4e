"""Choose and start the Taichi backend, and tame the two thread pools of torch and Taichi.

Taichi keeps one backend per process. torch's OpenMP workers would spin after each parallel
region and take the processor from Taichi's workers; `OMP_WAIT_POLICY=PASSIVE` is therefore set
by the package before torch is imported (see `taichi_pynerf/__init__.py`).
"""

import contextlib
import io
import os
import platform
from pathlib import Path

import taichi as ti
import torch

from taichi_pynerf.errors import BackendError

BACKENDS = ("auto", "cpu", "cuda", "vulkan")

_started: str | None = None


def start(backend: str = "auto", *, device_memory_fraction: float = 0.2) -> str:
    """Start Taichi once per process and return the backend's name, "cpu", "cuda" or "vulkan".

    Args:
        backend: one of `BACKENDS`; "auto" takes CUDA if torch and Taichi both can, else the CPU.
        device_memory_fraction: share of a GPU's memory that Taichi takes for itself.

    Raises:
        BackendError: the backend is unknown or absent, or another one runs already.
    """
    global _started
    if backend not in BACKENDS:
        raise BackendError(f"unknown backend {backend!r}: choose one of {', '.join(BACKENDS)}")
    if _started is not None:
        if backend not in ("auto", _started):
            raise BackendError(
                f"backend {backend!r} was asked for, but {_started!r} runs in this process "
                "already: start a new process for another backend"
            )
        return _started
    if backend == "auto":
        backend = "cuda" if torch.cuda.is_available() else "cpu"
    if backend == "cuda" and not torch.cuda.is_available():
        raise BackendError("backend 'cuda': torch finds no CUDA device; try --backend cpu")
    if backend == "vulkan":
        raise BackendError(
            "backend 'vulkan' cannot train or render yet; try --backend cpu or --backend cuda"
        )
    with contextlib.redirect_stdout(io.StringIO()):  # Taichi greets; apps print results alone
        ti.init(
            arch={"cpu": ti.cpu, "cuda": ti.cuda}[backend],
            log_level=ti.WARN,
            offline_cache=True,
            cpu_max_num_threads=os.cpu_count(),
            device_memory_fraction=device_memory_fraction,
            random_seed=0,
        )
    if backend == "cuda" and ti.lang.impl.current_cfg().arch != ti.cuda:
        raise BackendError("backend 'cuda': Taichi could not start it; try --backend cpu")
    _started = backend
    return backend


def torch_device() -> torch.device:
    """The torch device whose memory the started backend shares."""
    return torch.device("cuda" if _started == "cuda" else "cpu")


def device_name() -> str:
    """The processor or graphics card in words."""
    if _started == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"
