"""The sparse points of structure from motion beside a scene's cameras."""

from __future__ import annotations

import itertools
import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from taichi_pynerf.data.placement import MAX_COORDINATE
from taichi_pynerf.data.scene_files import note
from taichi_pynerf.errors import MissingPackageError, SceneError
from taichi_pynerf.extras import optional
from taichi_pynerf.geometry.cameras import Cameras

if TYPE_CHECKING:
    from pycolmap import Reconstruction

NEAR_MARGIN = 0.5
"""Near bound, as a share of the depth of the nearest points: surfaces come closer than points."""

NEAREST_SHARE = 0.01
"""Share of the nearest points in a view that is ignored, as some of them are wrong."""

LEAST_POINTS = 100
"""Least number of points seen, in all views together; fewer say little about near surfaces."""

LEAST_TRACK = 3
"""Least number of images in which a point is found; two may agree by chance."""

LARGEST_ERROR = 2.0
"""Largest reprojection error of a point, in pixels."""

SAME_CAMERAS = 0.01
"""Largest difference of two descriptions of the same cameras, as a share of their spread."""

LEAST_BYTES = {"cameras": 40, "rigs": 8, "frames": 68, "images": 73, "points3D": 51}
"""Bytes of an entry at least, in the binary files of COLMAP's documentation ("Output Format")."""

LISTS = {"images": (0, "<Q", 24), "points3D": (43, "<Q", 8), "frames": (64, "<I", 16)}
"""The list that ends an entry: bytes before its length, the length's kind, and bytes of an item.
In `images` the bytes count from the end of the name, which a zero ends."""

BEFORE_NAME = 64
"""Bytes of an image before its name: number, pose and camera."""

MOST_DIGITS = 20
"""Of an image's number, which has 32 bits; Python refuses to read thousands of digits."""


def reliable_points(model: Reconstruction) -> set[int]:
    """The numbers of the points that enough images agree about."""
    return {
        number
        for number, point in model.points3D.items()
        if point.track.length() >= LEAST_TRACK
        and point.error <= LARGEST_ERROR
        and np.isfinite(point.xyz).all()
    }


def same_cameras(centres: np.ndarray, others: np.ndarray) -> float | None:
    """The factor from the lengths of `others` to those of `centres`; None if they do not fit.

    Args:
        centres, others: [V, 3] positions of the same cameras in two coordinate systems.
    """
    radii, other_radii = (
        np.linalg.norm(x - x.mean(axis=0), axis=1) if len(x) > 1 else np.zeros(1)
        for x in (centres, others)
    )
    spread, other_spread = (float(np.sqrt(np.mean(r**2))) for r in (radii, other_radii))
    if not (spread > 0 and other_spread > 0):
        return None
    scale = spread / other_spread
    return scale if np.abs(radii - scale * other_radii).max() <= SAME_CAMERAS * spread else None


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


def names_of(model: Reconstruction, folder: Path, file: Path | None) -> dict[int, str]:
    """The names of a model's images, by number.

    Args:
        model: the model, which pycolmap has read.
        folder: of the model, for messages.
        file: the file of its images.

    Raises:
        SceneError: the bytes of a name are no text.
    """
    names = {}
    for number, image in model.images.items():
        try:
            names[number] = image.name
        except UnicodeDecodeError:
            raise SceneError(
                f"{folder}: the name of image {number} is not text in UTF-8: give its file another "
                "name, and make the model again"
            ) from None
    return names | _names_with_spaces(file)


def _names_with_spaces(path: Path | None) -> dict[int, str]:
    """The names of images as a text file has them, by number; pycolmap ends them at a space."""
    if path is None or path.suffix != ".txt":
        return {}
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = (line.strip() for line in file if not line.startswith("#"))
        # A line of an image is followed by one of the points that it sees.
        rows = [line.split(maxsplit=9) for line in itertools.islice(lines, 0, None, 2)]
    return {
        int(row[0]): row[9]
        for row in rows
        if len(row) == 10 and row[0].isdecimal() and len(row[0]) <= MOST_DIGITS and " " in row[9]
    }


def read_ply_points(path: Path) -> np.ndarray | None:
    """The points float64 [K, 3] of a PLY file; None if the package that reads it is absent.

    Raises:
        SceneError: it is not a PLY file, or its vertices have no x, y and z.
    """
    try:
        plyfile = optional("plyfile", "colmap")
    except MissingPackageError:
        return None
    note(path)
    try:
        vertices = plyfile.PlyData.read(path)["vertex"]
        points = np.stack([np.asarray(vertices[name], dtype=float) for name in "xyz"], axis=-1)
    except (plyfile.PlyParseError, KeyError, ValueError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SceneError(f"{path}: these points cannot be read ({reason})") from None
    usable = np.isfinite(points).all(axis=1) & (np.abs(points) < MAX_COORDINATE).all(axis=1)
    return points[usable]


def near_of_points(cameras: Cameras, points: np.ndarray) -> float | None:
    """A lower bound of the distance to nearly everything in any view; None with too few points.

    Args:
        cameras: V cameras.
        points: [K, 3] points of the scene, in the cameras' world.
    """
    depths = []
    world = torch.from_numpy(points).float()
    for view in range(len(cameras)):
        pixels, depth = cameras.project(view, world)
        size = torch.stack([cameras.width[view], cameras.height[view]])
        inside = ((pixels >= 0) & (pixels < size)).all(-1) & (depth > 0)  # false for NaN
        depths.append(depth[inside])
    found = torch.cat(depths) if depths else torch.zeros(0)
    if len(found) < LEAST_POINTS:
        return None
    return NEAR_MARGIN * float(np.quantile(found.numpy(), NEAREST_SHARE))
