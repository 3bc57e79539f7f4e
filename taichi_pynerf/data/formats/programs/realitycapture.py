"""RealityCapture's (RealityScan's) cameras as CSV, "Internal/External camera parameters".

Columns: #name, x, y, alt, heading, pitch, roll, f, px, py, k1 … k4, t1, t2. Angles are in degrees.
With all angles 0 the camera looks straight down, with north (y) up; heading turns clockwise. f is
in millimetres on film whose longer side is 36 mm. px and py are in units of that side, from the
middle.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens
from taichi_pynerf.data.formats.programs.views import IMAGE_FOLDERS, View, description_of, number
from taichi_pynerf.data.image_files import ImageFinder
from taichi_pynerf.data.images import read_header
from taichi_pynerf.data.scene_files import LoadOptions, read_text, shown
from taichi_pynerf.errors import SceneError

POSE = ("x", "y", "alt", "heading", "pitch", "roll")
FILM_WIDTH = 36.0


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    found = []
    for path in sorted(data_dir.glob("*.csv")):
        try:
            rows = _rows(path)
        except SceneError as error:
            if _is_claimed(path):
                fault = str(error).removeprefix(f"{path}: ")
                found.append(Fit(False, path.name, f"{path.name}: {fault}"))
            continue
        return Fit(True, f"{path.name}, RealityCapture's cameras, of {len(rows)} images")
    return found[0] if found else Fit(False, "", "no CSV of RealityCapture's cameras")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the first CSV file of cameras.

    Raises:
        SceneError: the file or all of its images are missing, or a value in it is wrong.
    """
    faults = []
    for path in sorted(data_dir.glob("*.csv")):
        try:
            rows = _rows(path)
        except SceneError as error:
            faults.append(error)
            continue
        return _read(data_dir, path, rows, options)
    raise faults[0] if faults else SceneError(f"{data_dir}: no CSV file of cameras here")


def _read(data_dir: Path, path: Path, rows: list[dict], options: LoadOptions) -> Description:
    finder = ImageFinder(
        data_dir, folders=IMAGE_FOLDERS, allow_external_paths=options.allow_external_paths
    )
    wheres = [f"{path}: {shown(row['name'])}" for row in rows]
    images = finder.find_all([row["name"] for row in rows], wheres, search=True)
    views = []
    for where, row, image in zip(wheres, rows, images, strict=True):
        values = {name: number(where, name, row.get(name)) for name in POSE}
        # A missing image is reported with the others later, so its size does not matter here.
        size = (1, 1) if image is None else read_header(image).upright_size
        views.append(View(where, row["name"], _pose(values), _lens(where, row, *size)))
    return description_of(data_dir, path, views, options)


def _is_claimed(path: Path) -> bool:
    """Whether a table has names of columns as RealityCapture's, or is no text that tells."""
    try:
        return _header(read_text(path).splitlines()) is not None
    except SceneError:
        return True


def _header(lines: list[str]) -> int | None:
    names = (i for i, line in enumerate(lines) if line.lower().lstrip("# ").startswith("name"))
    return next(names, None)


def _rows(path: Path) -> list[dict]:
    """{column: text} for each image; names of columns are in lower case, the first is "name"."""
    lines = read_text(path).splitlines()
    start = _header(lines)
    if start is None:
        raise SceneError(f"{path}: no line of column names, which begins with #name")
    separator = ";" if lines[start].count(";") > lines[start].count(",") else ","
    try:
        columns, *cells = csv.reader(lines[start:], delimiter=separator)
    except csv.Error as error:
        raise SceneError(f"{path}: broken CSV ({error})") from None
    columns = [name.strip().lstrip("# ").lower() for name in columns]
    lacking = [name for name in (*POSE, "f") if name not in columns]
    if lacking:
        raise SceneError(
            f"{path}: no column {', '.join(lacking)}: export internal and external parameters"
        )
    rows = [dict(zip(columns, row, strict=False)) for row in cells if any(map(str.strip, row))]
    rows = [row for row in rows if not row["name"].startswith("#")]
    if not rows or not all(row["name"].strip() for row in rows):
        raise SceneError(f"{path}: it has no rows, or one without the name of an image")
    return rows


def _pose(values: dict[str, float]) -> np.ndarray:
    heading, pitch, roll = (math.radians(values[name]) for name in ("heading", "pitch", "roll"))

    def turn(axis: int, angle: float) -> np.ndarray:
        i, j = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(3)
        matrix[i, i] = matrix[j, j] = math.cos(angle)
        matrix[j, i], matrix[i, j] = math.sin(angle), -math.sin(angle)
        return matrix

    rotation = turn(2, -heading) @ turn(0, pitch) @ turn(1, roll)
    return np.column_stack([rotation, [values["x"], values["y"], values["alt"]]])


def _lens(where: str, row: dict, width: int, height: int) -> Lens:
    def value(name: str) -> float:
        return number(where, name, row[name]) if (row.get(name) or "").strip() else 0.0

    side = max(width, height)
    focal = number(where, "f", row.get("f")) * side / FILM_WIDTH
    return Lens(
        width=width,
        height=height,
        fx=focal,
        fy=focal,
        cx=0.5 * width + side * value("px"),
        cy=0.5 * height + side * value("py"),
        distortion=tuple(value(name) for name in ("k1", "k2", "k3", "k4", "t1", "t2")),
    )
