"""Binary files of COLMAP's models: do they have room for what they claim to hold?"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from taichi_pynerf.errors import SceneError

LEAST_BYTES = {"cameras": 40, "rigs": 8, "frames": 68, "images": 73, "points3D": 51}
"""Bytes of an entry at least, in the binary files of COLMAP's documentation ("Output Format")."""

LISTS = {"images": (0, "<Q", 24), "points3D": (43, "<Q", 8), "frames": (64, "<I", 16)}
"""The list that ends an entry: bytes before its length, the length's kind, and bytes of an item.
In `images` the bytes count from the end of the name, which a zero ends."""

BEFORE_NAME = 64
"""Bytes of an image before its name: number, pose and camera."""


def check_counts(folder: Path) -> None:
    """Refuse binary files of a COLMAP model that claim more than they have room for.

    COLMAP believes such a claim, of entries or of what is in one of them, and reads for minutes
    what is not there.

    Raises:
        SceneError: a file does, or it has no room for a count.
    """
    for name, least in LEAST_BYTES.items():
        path = folder / f"{name}.bin"
        if not path.is_file():
            continue
        size = path.stat().st_size
        with path.open("rb") as file:
            count = int.from_bytes(file.read(8), "little")
            if size < 8 or count > (size - 8) // least:
                raise _claim(path, size, f"the {count:,} entries")
            if name not in LISTS or not count:
                continue
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _check_lists(path, data, name, count)


def _check_lists(path: Path, data: mmap.mmap, name: str, count: int) -> None:
    """Go from entry to entry by the lengths of their lists; SceneError beyond the file's end."""
    size, place = len(data), 8
    before, kind, item = LISTS[name]
    length_of = struct.Struct(kind)
    for number in range(1, count + 1):
        if name == "images":
            place = data.find(b"\0", place + BEFORE_NAME) + 1
            if not place:
                raise _claim(path, size, f"the name of entry {number:,}")
        place += before
        if place + length_of.size > size:
            raise _claim(path, size, f"the {count:,} entries")
        (length,) = length_of.unpack_from(data, place)
        place += length_of.size + item * length
        if place > size:
            raise _claim(path, size, f"the {length:,} items of entry {number:,}")


def _claim(path: Path, size: int, what: str) -> SceneError:
    return SceneError(
        f"{path}: a file of {size} bytes cannot hold {what} that it claims: it is damaged or cut "
        "off; copy it again"
    )
