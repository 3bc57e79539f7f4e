"""The names of the images of COLMAP's models."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from taichi_pynerf.data.formats.colmap_files.text import MOST_DIGITS
from taichi_pynerf.errors import SceneError

if TYPE_CHECKING:
    from pycolmap import Reconstruction


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
