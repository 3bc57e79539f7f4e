"""A setting of the C library's allocator: freed memory is kept for the next step."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT, _LARGEST = 256 << 20, 32 << 20  # bytes: in all, and per piece (the most that glibc allows)


def keep_freed_memory() -> None:
    """Let glibc keep up to 256 MiB of freed memory instead of giving it back at once.

    A step frees its large tensors together. If the next step has to fetch them from the system
    again, each of their pages costs a fault and is cleared first. Other C libraries stay as they
    are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
