"""The objects of the built-in demo scene: a still life on a round plinth.

They are what a field without anti-aliasing gets wrong at a distance: checks, dial ticks, print down
to the size of a pixel, a lattice tower, a wire cage, pins, and a glossy glaze. Everything fits in
the box [-1.3, 1.3]^3. z is up, and the objects stand at z = `GROUND`.
"""

import math
from typing import Any

import numpy as np

from taichi_pynerf.demo.font import draw_text, text_width
from taichi_pynerf.demo.tracer import Kind, Paint, Row, TracedScene

RADIUS = 1.42  # radius of a sphere around the world's origin that holds everything
GROUND = -0.55
PLINTH_RADIUS = 1.2
PLINTH_HEIGHT = 0.16

IVORY = (0.88, 0.80, 0.66)
SAND = (0.60, 0.47, 0.34)
SLATE = (0.035, 0.052, 0.072)
INK = (0.03, 0.04, 0.07)
NAVY = (0.07, 0.13, 0.28)
TEAL = (0.04, 0.30, 0.30)
VERMILION = (0.66, 0.06, 0.03)
MUSTARD = (0.80, 0.44, 0.06)
BRASS = (0.62, 0.40, 0.14)
PORCELAIN = (0.86, 0.87, 0.86)
WALNUT = (0.15, 0.08, 0.045)

MATT = (0.0, 1.0, 0.0)
SATIN = (0.18, 30.0, 0.25)
METAL = (0.45, 40.0, 0.6)
GLAZE = (0.80, 90.0, 1.0)

Vector = tuple[float, float, float]


class _Builder:
    """Collects shapes as rows of the tracer's tables.

    Each shape takes up to three colours and its `look`: `paint`, `pattern` and `gloss`. The last
    colour stands in for those not given.
    """

    def __init__(self) -> None:
        self.tables: list[np.ndarray] = []
        self.kinds: list[tuple[int, int]] = []

    def sphere(self, centre: Vector, radius: float, *colours: Vector, **look: Any) -> None:
        rows = centre, (0.0, 0.0, 1.0), (radius, 0.0, 0.0)
        self._add(Kind.SPHERE, rows, (centre, centre, radius), colours, **look)

    def cylinder(
        self, base: Vector, lid: Vector, radius: float, *colours: Vector, **look: Any
    ) -> None:
        axis = np.subtract(lid, base)
        length = float(np.linalg.norm(axis))
        rows = base, axis / length, (radius, length, 0.0)
        self._add(Kind.CYLINDER, rows, (base, lid, radius), colours, **look)

    def box(
        self, centre: Vector, half: Vector, degrees: float, *colours: Vector, **look: Any
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
    ) -> None:
        table = np.zeros((len(Row), 3), np.float32)
        table[[Row.ORIGIN, Row.AXIS, Row.SIZE]] = rows
        table[Row.BOUND_A], table[Row.BOUND_B], table[Row.BOUND_RADIUS, 0] = bound
        table[[Row.COLOUR, Row.COLOUR_2, Row.COLOUR_3]] = (*colours, *colours[-1:] * 2)[:3]
        table[Row.PATTERN], table[Row.GLOSS] = pattern, gloss
        self.tables.append(table)
        self.kinds.append((kind, paint))


def still_life() -> TracedScene:
    """The demo scene, the same at every call."""
    prints, frames = _sheet_of([_plinth_print(), _poster_print(), _eye_chart(), _ruler_print()])
    plinth, poster, eye_chart, ruler, blank = 0, 1, 2, 3, -1
    add = _Builder()
    add.cylinder(
        (0.0, 0.0, GROUND - PLINTH_HEIGHT),
        (0.0, 0.0, GROUND),
        PLINTH_RADIUS,
        IVORY,
        SAND,
        SLATE,
        paint=Paint.PLINTH,
        pattern=(plinth, 0, 0),
    )
    add.box(
        (0.36, 0.40, GROUND + 0.43),
        (0.33, 0.075, 0.43),
        -24.0,
        IVORY,
        INK,
        VERMILION,
        paint=Paint.PRINT,
        pattern=(eye_chart, poster, blank),
    )
    add.box(
        (-0.02, -0.80, GROUND + 0.02),
        (0.45, 0.055, 0.02),
        7.0,
        MUSTARD,
        INK,
        MUSTARD,
        paint=Paint.PRINT,
        pattern=(blank, blank, ruler),
        gloss=SATIN,
    )
    add.sphere((0.22, -0.34, GROUND + 0.29), 0.29, VERMILION, gloss=GLAZE)
    _caged_ball(add, (0.74, -0.14, GROUND + 0.15), half=0.15, degrees=20.0)
    _tower(add, (-0.36, 0.42, GROUND), height=1.10)
    _cup_of_pins(add, (-0.52, -0.34, GROUND))
    occluders = [
        (0.22, -0.34, GROUND + 0.29, 0.29),
        (0.74, -0.14, GROUND + 0.15, 0.10),
        (-0.52, -0.34, GROUND + 0.13, 0.15),
        (0.52, 0.33, GROUND + 0.16, 0.15),
        (0.20, 0.47, GROUND + 0.16, 0.15),
        (0.36, 0.40, GROUND + 0.55, 0.20),
    ]
    return TracedScene(
        table=np.stack(add.tables),
        kinds=np.array(add.kinds, np.int32),
        occluders=np.array(occluders, np.float32),
        prints=prints,
        frames=frames,
        to_light=(-0.52, -0.50, 0.69),
        penumbra=math.radians(1.2),
        radius=RADIUS,
    )


def _tower(add: _Builder, foot: Vector, height: float) -> None:
    """A hyperboloid of two families of straight rods between two discs, with a ball on top."""
    num_rods, twist = 12, math.radians(130.0)
    x, y, z = foot
    base, top = z + 0.04, z + height
    add.cylinder(foot, (x, y, base), 0.27, WALNUT, gloss=SATIN)
    add.cylinder((x, y, top), (x, y, top + 0.03), 0.25, WALNUT, gloss=SATIN)
    add.sphere((x, y, top + 0.12), 0.10, TEAL, gloss=GLAZE)
    for i in range(num_rods):
        for turn in (twist, -twist):
            a = 2.0 * math.pi * (i + 0.5) / num_rods
            low = (x + 0.24 * math.cos(a), y + 0.24 * math.sin(a), base)
            high = (x + 0.22 * math.cos(a + turn), y + 0.22 * math.sin(a + turn), top)
            add.cylinder(low, high, 0.010, BRASS, gloss=METAL)


def _caged_ball(add: _Builder, centre: Vector, half: float, degrees: float) -> None:
    """A chequered porcelain ball inside the twelve wires of a cube."""
    add.sphere(
        (centre[0], centre[1], centre[2] - half + 0.115),
        0.115,
        PORCELAIN,
        NAVY,
        paint=Paint.CHECKS,
        pattern=(10, 14.0, 0),
        gloss=GLAZE,
    )
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def corner(i: int, j: int, k: int) -> Vector:
        u, v = i * half, j * half
        return (centre[0] + cos * u - sin * v, centre[1] + sin * u + cos * v, centre[2] + k * half)

    for i in (-1, 1):
        for j in (-1, 1):
            add.cylinder(corner(i, j, -1), corner(i, j, 1), 0.009, INK, gloss=METAL)
            add.cylinder(corner(i, -1, j), corner(i, 1, j), 0.009, INK, gloss=METAL)
            add.cylinder(corner(-1, i, j), corner(1, i, j), 0.009, INK, gloss=METAL)


def _cup_of_pins(add: _Builder, foot: Vector) -> None:
    """A striped cup that holds a fan of pins with coloured tips."""
    x, y, z = foot
    add.cylinder(
        foot,
        (x, y, z + 0.30),
        0.16,
        PORCELAIN,
        NAVY,
        paint=Paint.STRIPES,
        pattern=(6, 5.0, 0),
        gloss=SATIN,
    )
    tips = (VERMILION, MUSTARD, TEAL)
    for i in range(9):
        a = 2.0 * math.pi * i * 0.381966
        lean = 0.10 + 0.20 * math.sqrt((i + 0.5) / 9)
        low = (x + 0.08 * math.cos(a), y + 0.08 * math.sin(a), z + 0.2)
        high = (x + lean * math.cos(a), y + lean * math.sin(a), z + 0.62 + 0.05 * (i % 3))
        add.cylinder(
            low, high, 0.012, IVORY, tips[i % 3], paint=Paint.TIP, pattern=(0.07, 0, 0), gloss=SATIN
        )


def _plinth_print() -> np.ndarray:
    """A line of capitals that runs around the plinth."""
    text = "PyNeRF * PYRAMIDAL NEURAL RADIANCE FIELDS * " * 2
    sheet = np.full((11, text_width(text) + 1), 2, np.int32)
    draw_text(sheet, text, 2, 0, ink=0)
    return sheet


def _poster_print() -> np.ndarray:
    """A title over a bar and lines of small print."""
    sheet = np.zeros((100, 77), np.int32)
    draw_text(sheet, "Py", 5, 4, scale=5)
    sheet[8:38, 66:72] = 2
    draw_text(sheet, "NeRF", 46, 3, scale=3)
    sheet[70:72, 3:74] = 2
    draw_text(sheet, "ANTI-ALIASED", 75, 3)
    draw_text(sheet, "AT EVERY", 83, 3)
    draw_text(sheet, "DISTANCE", 91, 3)
    sheet[83:98:2, 56:74] = 2
    return sheet


def _eye_chart() -> np.ndarray:
    """Lines of letters, each smaller than the one above."""
    sheet = np.zeros((100, 77), np.int32)
    row = 5
    for scale, text in ((4, "E"), (3, "FP"), (2, "TOZ"), (1, "LPED"), (1, "PECFD")):
        # Small letters are spaced out, as on a real chart.
        spaced = " ".join(text) if scale == 1 else text
        draw_text(sheet, spaced, row, (77 - text_width(spaced, scale)) // 2, scale=scale)
        row += 7 * scale + 3
    sheet[-4:-2, 3:74] = 2
    return sheet


def _ruler_print() -> np.ndarray:
    """Ticks at two spacings and the numbers 1 to 8."""
    sheet = np.zeros((14, 118), np.int32)
    sheet[10:, 1::2] = 1
    sheet[8:, 1::13] = 1
    for number in range(1, 9):
        draw_text(sheet, str(number), 1, 13 * number - 1)
    return sheet


def _sheet_of(prints: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Put prints below each other; returns the sheet, and the frames [num_prints, 4] in it."""
    sheet = np.zeros((sum(len(p) for p in prints), max(p.shape[1] for p in prints)), np.int32)
    frames, row = [], 0
    for p in prints:
        sheet[row : row + len(p), : p.shape[1]] = p
        frames.append((row, 0, *p.shape))
        row += len(p)
    return sheet, np.array(frames, np.int32)
