"""The objects of the built-in demo scene: a still life on a round plinth.

They are what a field without anti-aliasing gets wrong at a distance: checks, dial ticks, print down
to the size of a pixel, a lattice tower, a wire cage, pins, and a glossy glaze. Everything fits in
the box [-1.3, 1.3]^3. z is up, and the objects stand at z = `GROUND`.
"""

import math

import numpy as np

from taichi_pynerf.demo.builder import GLAZE, METAL, SATIN, Builder, Vector, sheet_of
from taichi_pynerf.demo.font import draw_text, text_width
from taichi_pynerf.demo.tracer import Paint, TracedScene

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


def still_life() -> TracedScene:
    """The demo scene, the same at every call."""
    prints, frames = sheet_of([_plinth_print(), _poster_print(), _eye_chart(), _ruler_print()])
    plinth, poster, eye_chart, ruler, blank = 0, 1, 2, 3, -1
    add = Builder()
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


def _tower(add: Builder, foot: Vector, height: float) -> None:
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


def _caged_ball(add: Builder, centre: Vector, half: float, degrees: float) -> None:
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


def _cup_of_pins(add: Builder, foot: Vector) -> None:
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
