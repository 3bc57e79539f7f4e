"""The tiles of a picture, in the order in which they are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator

TILE = 48  # side of a tile, pixels


def tiles_from_the_middle(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """(left, top, right, bottom) of tiles that cover an image, from the middle outwards."""
    boxes = [
        (left, top, min(left + TILE, width), min(top + TILE, height))
        for top in range(0, height, TILE)
        for left in range(0, width, TILE)
    ]
    yield from sorted(
        boxes,
        key=lambda box: math.hypot(box[0] + box[2] - width, box[1] + box[3] - height),
    )
