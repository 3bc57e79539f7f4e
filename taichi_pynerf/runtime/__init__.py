"""The backend that the kernels run on: choosing, starting and describing it.

    python -m taichi_pynerf.runtime

prints what each backend would run on here, whether it works, and if not, why.
"""

from taichi_pynerf.runtime.backend import (
    BACKENDS,
    DEVICE_MEMORY_FRACTION,
    device_name,
    ensure_started,
    on_cpu,
    on_vulkan_gpu,
    runs_kernels,
    shares_memory,
    start,
    torch_device,
)
from taichi_pynerf.runtime.flags import add_backend_flags, start_backend
from taichi_pynerf.runtime.report import BackendReport, describe

__all__ = [
    "BACKENDS",
    "DEVICE_MEMORY_FRACTION",
    "BackendReport",
    "add_backend_flags",
    "describe",
    "device_name",
    "ensure_started",
    "on_cpu",
    "on_vulkan_gpu",
    "runs_kernels",
    "shares_memory",
    "start",
    "start_backend",
    "torch_device",
]
