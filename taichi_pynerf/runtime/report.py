"""A report on the backends: what each would run on here, whether it works, and if not, why."""

import dataclasses
import json
import subprocess
import sys

import torch

from taichi_pynerf.errors import BackendError
from taichi_pynerf.runtime import hardware
from taichi_pynerf.runtime.backend import BACKENDS, start

_PROBE_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class BackendReport:
    """One line of the table of backends.

    Attributes:
        backend: name of the backend.
        device: name of its device; empty if there is none.
        driver: the driver's version, or for the CPU the number of processors.
        memory: the device's memory in bytes; None if unknown.
        fault: the fault in words; None if the backend works.
    """

    backend: str
    device: str
    driver: str
    memory: int | None
    fault: str | None


def describe() -> list[BackendReport]:
    """Try every backend, each in its own process, and report the results."""
    return [_probe_in_subprocess(name) for name in BACKENDS if name != "auto"]


def probe(backend: str) -> BackendReport:
    """Start a backend in this process and report on it."""
    device, driver, memory = "", "", None
    if backend == "cpu":
        device, driver = hardware.cpu_name(), f"{hardware.available_cpus()} processors"
        memory = hardware.memory_bytes()
    elif backend == "cuda" and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        device, memory = properties.name, properties.total_memory
        driver = f"CUDA {torch.version.cuda}, sm_{properties.major}{properties.minor}"
    elif backend == "vulkan":
        for found in hardware.vulkan_devices()[:1]:
            device, memory = f"{found.name} [{found.kind}]", found.memory_bytes
            driver = f"{found.driver_version}, Vulkan {found.api_version}"
    try:
        start(backend)
        fault = None
    except BackendError as error:
        fault = str(error).removeprefix(f"backend {backend!r}").lstrip(": ")
    return BackendReport(backend, device, driver, memory, fault)


def _probe_in_subprocess(backend: str) -> BackendReport:
    """Probe in a subprocess: a broken driver may end the process or never return."""
    command = [sys.executable, "-m", "taichi_pynerf.runtime", "--probe", backend]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return BackendReport(backend, "", "", None, f"no answer within {_PROBE_SECONDS} s")
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return BackendReport(**json.loads(lines[-1]))
    return BackendReport(backend, "", "", None, f"the driver ended the process ({done.returncode})")


def table(reports: list[BackendReport]) -> str:
    """The reports in aligned columns."""
    rows = [("backend", "device", "driver", "memory", "works")]
    for report in reports:
        memory = "" if report.memory is None else f"{report.memory / 2**30:.1f} GiB"
        works = "yes" if report.fault is None else f"no: {report.fault}"
        rows.append((report.backend, report.device, report.driver, memory, works))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
