"""Text files of COLMAP's models: each line is checked before pycolmap reads it.

Not every build of pycolmap notices a word where a number should be, and none notices a broken list
of the images that see a point: such points are read as zeros or without their images, and the
scene is then placed wrongly without a word.

Format: https://colmap.github.io/format.html.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from taichi_pynerf.data.scene_files import shown
from taichi_pynerf.errors import SceneError

NAMES = ("cameras", "images", "points3D")

CAMERA = ("CAMERA_ID", "MODEL", "WIDTH", "HEIGHT")
IMAGE = ("IMAGE_ID", "QW", "QX", "QY", "QZ", "TX", "TY", "TZ", "CAMERA_ID", "NAME")
POINT = ("POINT3D_ID", "X", "Y", "Z", "R", "G", "B", "ERROR")

BITS = {"WIDTH": 64, "HEIGHT": 64, "POINT3D_ID": 63, "R": 31, "G": 31, "B": 31}
"""Of whole numbers, as COLMAP keeps them; others have 32."""

FEW_DIGITS, MOST_DIGITS = 9, 20
"""Digits that fit into every number, and that may fit into any: Python refuses thousands."""


class _Fault(Exception):
    """What is wrong in a line."""


def check_texts(folder: Path) -> None:
    """Refuse text files of a COLMAP model that have other than their format's numbers.

    Binary files come first in COLMAP: where all are there, its text files are not read.

    Raises:
        SceneError: a line is broken; the message has the file, the line and the fault.
    """
    there = [
        name
        for name in NAMES
        if any((folder / f"{name}{suffix}").is_file() for suffix in (".bin", ".txt"))
    ]
    if all((folder / f"{name}.bin").is_file() for name in there):
        return
    for name, check in zip(NAMES, (_check_cameras, _check_images, _check_points), strict=True):
        path = folder / f"{name}.txt"
        if not path.is_file():
            continue
        with path.open("rb") as file:
            lines = _Lines(file)
            try:
                check(lines)
            except _Fault as fault:
                raise SceneError(
                    f"{path}: line {lines.number}: {fault}; copy the file again, or write the "
                    "model again"
                ) from None


class _Lines:
    """The lines of a file, without the white space about them.

    Attributes:
        number: of the last line taken, from one.
    """

    def __init__(self, file: Iterable[bytes]):
        self._lines = iter(file)
        self.number = 0

    def next(self) -> bytes | None:
        """The next line, whatever it holds; None at the end."""
        line = next(self._lines, None)
        self.number += line is not None
        return None if line is None else line.strip()

    def __iter__(self) -> Iterator[bytes]:
        """The lines that are neither empty nor comments."""
        while (line := self.next()) is not None:
            if line and not line.startswith(b"#"):
                yield line


def _check_cameras(lines: _Lines) -> None:
    for line in lines:
        fields = _fields(line, CAMERA)
        _check_whole(fields[0], CAMERA[0])
        for name, field in zip(CAMERA[2:], fields[2:4], strict=True):
            _check_whole(field, name)
            if not int(field):
                raise _Fault(f"{name} is 0")
        _check_numbers(fields[4:], ("PARAMS",))


def _check_images(lines: _Lines) -> None:
    for line in lines:
        fields = _fields(line, IMAGE)
        _check_whole(fields[0], IMAGE[0])
        _check_numbers(fields[1:8], IMAGE[1:8])
        _check_whole(fields[8], IMAGE[8])
        seen = (lines.next() or b"").split()  # empty for an image that sees no point
        if len(seen) % 3:
            raise _Fault(
                f"{len(seen)} values, which are no triples of X, Y and POINT3D_ID (each image has "
                "such a line after its own, which may be empty)"
            )
        _check_numbers(seen, ("X", "Y", "POINT3D_ID"))
        for field in seen[2::3]:
            if field != b"-1":
                _check_whole(field, "POINT3D_ID")


def _check_points(lines: _Lines) -> None:
    for line in lines:
        fields = _fields(line, POINT)
        _check_whole(fields[0], POINT[0])
        _check_numbers((*fields[1:4], fields[7]), (*POINT[1:4], POINT[7]))
        for name, field in zip(POINT[4:7], fields[4:7], strict=True):
            _check_whole(field, name)
        track = fields[8:]
        if len(track) % 2:
            raise _Fault(f"{len(track)} values of its track, which are no pairs")
        if track and not (b"".join(track).isdigit() and max(map(len, track)) <= FEW_DIGITS):
            for name, field in zip(itertools.cycle(("IMAGE_ID", "POINT2D_IDX")), track):
                _check_whole(field, name)


def _fields(line: bytes, names: Sequence[str]) -> list[bytes]:
    """The values of a line, at least one for each name."""
    fields = line.split()
    if len(fields) < len(names):
        raise _Fault(
            f"{len(fields)} values instead of {len(names)} or more ({', '.join(names)}): "
            f"{_shown(line)}"
        )
    return fields


def _check_whole(field: bytes, name: str) -> None:
    """Refuse what is no whole number from zero on, or has too many bits."""
    if not field.isdigit():
        raise _Fault(f"{name} must be a whole number, not {_shown(field)}")
    bits = BITS.get(name, 32)
    digits = field.lstrip(b"0") or b"0"
    if len(digits) > MOST_DIGITS or int(digits) >> bits:
        raise _Fault(f"{name} must be below 2^{bits}, not {_shown(field)}")


def _check_numbers(fields: Sequence[bytes], names: Sequence[str]) -> None:
    """Refuse what is no finite number.

    Args:
        names: of the values, which begin again for each group.
    """
    try:
        # The sum of all at once, as there may be millions; NaN and infinity survive it.
        if math.isfinite(sum(map(float, fields))) and b"_" not in b"".join(fields):
            return
    except ValueError:
        pass
    for name, field in zip(itertools.cycle(names), fields):
        try:
            finite = math.isfinite(float(field)) and b"_" not in field
        except ValueError:
            finite = False
        if not finite:
            raise _Fault(f"{name} must be a finite number, not {_shown(field)}")


def _shown(data: bytes) -> str:
    return shown(data.decode("utf-8", errors="backslashreplace"))
