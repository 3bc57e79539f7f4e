"""Collects the shapes of a demo scene as rows of the ray tracer's tables."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from taichi_pynerf.demo.tracer import Kind, Paint, Row, TracedScene

# Highlight's strength, its exponent, and share of the sky's reflection.
MATT = (0.0, 1.0, 0.0)
SATIN = (0.18, 30.0, 0.25)
METAL = (0.45, 40.0, 0.6)
GLAZE = (0.80, 90.0, 1.0)

NONE = (0.0, 0.0, 0.0)

Vector = tuple[float, float, float]
Point = Sequence[float] | np.ndarray  # of three


class Builder:
    """Collects shapes as rows of the tracer's tables.

    Each shape takes up to three colours and its `look`: `paint`, `pattern`, `gloss`, `mirror` and
    `finish`, as `Row` has them. The last colour stands in for those not given.
    """

    def __init__(self) -> None:
        self.tables: list[np.ndarray] = []
        self.kinds: list[tuple[int, int]] = []

    def sphere(self, centre: Point, radius: float, *colours: Vector, **look: Any) -> None:
        rows = centre, (0.0, 0.0, 1.0), (radius, 0.0, 0.0)
        self._add(Kind.SPHERE, rows, (centre, centre, radius), colours, **look)

    def cylinder(
        self, base: Point, lid: Point, radius: float, *colours: Vector, **look: Any
    ) -> None:
        axis = np.subtract(lid, base)
        length = float(np.linalg.norm(axis))
        rows = base, axis / length, (radius, length, 0.0)
        self._add(Kind.CYLINDER, rows, (base, lid, radius), colours, **look)

    def box(
        self, centre: Point, half: Point, degrees: float, *colours: Vector, **look: Any
    ) -> None:
        """A box of half extents `half`, turned counter-clockwise about z."""
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        # Its bound is a capsule along the longest side.
        longest = int(np.argmax(half))
        side = np.array([(cos, sin, 0.0), (-sin, cos, 0.0), (0.0, 0.0, 1.0)][longest])
        reach = half[longest] * side
        across = math.hypot(*np.delete(half, longest))
        bound = np.subtract(centre, reach), np.add(centre, reach), across
        self._add(Kind.BOX, (centre, (cos, sin, 0.0), half), bound, colours, **look)

    def spheroid(
        self,
        centre: Point,
        axis: Point,
        radius: float,
        half_height: float,
        *colours: Vector,
        **look: Any,
    ) -> None:
        """A sphere that reaches `radius` across `axis`, and `half_height` along it."""
        unit = np.divide(axis, np.linalg.norm(axis))
        bound = centre, centre, max(radius, half_height)
        rows = centre, unit, (radius, half_height, 0.0)
        self._add(Kind.SPHEROID, rows, bound, colours, **look)

    def leaf(
        self,
        centre: Point,
        along: Point,
        normal: Point,
        size: Point,
        *colours: Vector,
        **look: Any,
    ) -> None:
        """A flat leaf; `size` is half its length, half its width, and how much it seems curled.

        `normal` is made perpendicular to `along`.
        """
        side = np.divide(along, np.linalg.norm(along))
        up = np.subtract(normal, np.dot(normal, side) * side)
        up /= np.linalg.norm(up)
        reach = size[0] * side
        bound = np.subtract(centre, reach), np.add(centre, reach), size[1]
        self._add(Kind.LEAF, (centre, up, size), bound, colours, side=side, **look)

    def _add(
        self,
        kind: Kind,
        rows: tuple[Any, ...],
        bound: tuple[Any, ...],
        colours: tuple[Vector, ...],
        *,
        paint: Paint = Paint.PLAIN,
        pattern: tuple[float, ...] = (0, 0, 0),
        gloss: Vector = MATT,
        mirror: Vector = NONE,
        finish: Vector = NONE,
        side: Any = NONE,
    ) -> None:
        table = np.zeros((len(Row), 3), np.float32)
        table[[Row.ORIGIN, Row.AXIS, Row.SIZE]] = rows
        table[Row.BOUND_A], table[Row.BOUND_B], table[Row.BOUND_RADIUS, 0] = bound
        table[[Row.COLOUR, Row.COLOUR_2, Row.COLOUR_3]] = (*colours, *colours[-1:] * 2)[:3]
        table[Row.PATTERN], table[Row.GLOSS] = pattern, gloss
        table[Row.SIDE], table[Row.MIRROR], table[Row.FINISH] = side, mirror, finish
        self.tables.append(table)
        self.kinds.append((kind, paint))

    def scene(self, occluders: Sequence[Sequence[float]], radius: float) -> TracedScene:
        """The shapes so far as a scene without prints.

        Args:
            occluders: centre and radius of spheres that hide the sky.
            radius: of a sphere around the origin that holds everything.
        """
        return TracedScene(
            table=np.stack(self.tables),
            kinds=np.array(self.kinds, np.int32),
            occluders=np.array(occluders, np.float32),
            prints=np.zeros((1, 1), np.int32),
            frames=np.array([[0, 0, 1, 1]], np.int32),
            to_light=(-0.52, -0.50, 0.69),
            penumbra=math.radians(1.2),
            radius=radius,
        )


def sheet_of(prints: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Put prints below each other; returns the sheet, and the frames [num_prints, 4] in it."""
    sheet = np.zeros((sum(len(p) for p in prints), max(p.shape[1] for p in prints)), np.int32)
    frames, row = [], 0
    for p in prints:
        sheet[row : row + len(p), : p.shape[1]] = p
        frames.append((row, 0, *p.shape))
        row += len(p)
    return sheet, np.array(frames, np.int32)
