"""The C library's allocator: what is freed stays at hand."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT, _LARGEST = 256 << 20, 32 << 20  # bytes; glibc takes no higher limit than this for one piece


def keep_freed_memory() -> None:
    """Let glibc keep up to 256 MB that are freed, rather than give them back at once.

    A step frees its large tensors together. Fetched anew from the system for the next step, each
    of their pages costs a fault and is cleared first. Other libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
