"""Memory in use, for the panel."""

import resource
import sys
from pathlib import Path

import torch


def resident_bytes() -> int:
    """Main memory of this process now; where the system does not tell, its peak so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def memory_text(device: torch.device) -> str:
    """Main memory, and what torch has allocated on a graphics card, as text."""
    text = f"{resident_bytes() / 2**20:.0f} MiB"
    if device.type == "cuda":
        text += f", GPU {torch.cuda.memory_allocated(device) / 2**20:.0f} MiB"
    return text
