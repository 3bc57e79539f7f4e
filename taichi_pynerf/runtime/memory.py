"""The amount of free memory."""

from pathlib import Path

import torch

_ASSUMED = 2 * 2**30  # bytes assumed free if the system does not tell


def free_memory(device: torch.device) -> int:
    """Number of bytes that are free on a device now.

    On the CPU this is what Linux calls available memory, within the limit of the control group
    (containers). On other systems 2 GiB are assumed.
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    return min((*_meminfo(), *_control_group()), default=_ASSUMED)


def _meminfo() -> list[int]:
    lines = _read("/proc/meminfo").splitlines()
    return [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]


def _control_group() -> list[int]:
    folder = "/sys/fs/cgroup/"
    limit, used = _read(folder + "memory.max").strip(), _read(folder + "memory.current").strip()
    if not (limit.isdigit() and used.isdigit()):  # no control group, or no limit ("max")
        return []
    # The page cache counts as used, but is given up when memory is needed.
    stat = dict(line.split() for line in _read(folder + "memory.stat").splitlines())
    return [max(int(limit) - int(used) + int(stat.get("inactive_file", 0)), 0)]


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
