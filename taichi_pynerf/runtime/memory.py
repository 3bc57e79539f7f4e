"""The amount of memory that is free, and that this process has."""

import sys
from pathlib import Path

import torch

if sys.platform != "win32":  # Windows has no such limits
    import resource

_ASSUMED = 2 * 2**30  # bytes assumed free if the system does not tell


def free_memory(device: torch.device) -> int:
    """Number of bytes that are free on a device now.

    On the CPU this is what Linux calls available memory, within the limits of the control group
    (containers, batch systems) and of the address space (`ulimit -v`). On other systems 2 GiB are
    assumed.
    """
    known = known_free_memory(device)
    return _ASSUMED if known is None else known


def known_free_memory(device: torch.device) -> int | None:
    """As `free_memory`, and None where the system does not tell."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    return min((*_meminfo(), *_control_group(), *_address_space()), default=None)


def resident_bytes() -> int | None:
    """Main memory of this process now; where the system does not tell, its peak so far, or None."""
    if sys.platform == "win32":
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _meminfo() -> list[int]:
    lines = _read("/proc/meminfo").splitlines()
    return [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]


def _control_group() -> list[int]:
    """Within the group of this process and those that hold it, of version 1 and 2."""
    root = Path("/sys/fs/cgroup")
    found = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = top / path.lstrip("/")
        # In a container the path may be that of the machine: then only the top is seen.
        folders = [folder, *folder.parents] if _is_folder(folder) else [top]
        for place in folders:
            found += _free_in_group(place, *names)
            if place == top:
                break
    return found


def _free_in_group(folder: Path, limit_name: str, used_name: str, cache_name: str) -> list[int]:
    limit, used = (_read(folder / name).strip() for name in (limit_name, used_name))
    if not (limit.isdigit() and used.isdigit()):  # no control group, or no limit ("max")
        return []
    # The page cache counts as used, but is given up when memory is needed.
    stat = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
    return [max(int(limit) - int(used) + int(stat.get(cache_name, 0)), 0)]


def _address_space() -> list[int]:
    if sys.platform == "win32":
        return []
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = _read("/proc/self/statm").split()
    if limit == resource.RLIM_INFINITY or not pages:
        return []
    return [max(limit - int(pages[0]) * resource.getpagesize(), 0)]


def _is_folder(path: Path) -> bool:
    return path.is_dir()


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
