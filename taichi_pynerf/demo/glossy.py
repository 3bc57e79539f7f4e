"""The objects of the demo scene `glossy`: a drum kit and a row of polished balls.

It is what a field finds hard in polish: lamps, windows and neighbours that are seen in mirrors and
move with the view, on lacquer, chrome, brass and glaze, and stands and lugs as thin as a pixel.
Everything fits in the box [-1.3, 1.3]^3. z is up, and the objects stand at z = `GROUND`.
"""

import math
from typing import Any

import numpy as np

from taichi_pynerf.demo.builder import GLAZE, MATT, SATIN, Builder, Vector
from taichi_pynerf.demo.tracer import Paint, TracedScene

RADIUS = 1.42  # radius of a sphere around the world's origin that holds everything
GROUND = -0.72

Look = dict[str, Any]

HEAD, RING = (0.78, 0.76, 0.71), (0.30, 0.29, 0.28)
RUBBER = (0.02, 0.02, 0.022)
LACQUER = (0.42, 0.012, 0.018)
WALNUT = (0.15, 0.08, 0.045)
BLUE, GREEN, WHITE = (0.02, 0.08, 0.33), (0.02, 0.20, 0.09), (0.82, 0.82, 0.80)
GREY = (0.10, 0.10, 0.10)

# Colour of a metal's own, which is all but black, and its reflectance at normal incidence.
DARK = (0.02, 0.02, 0.02)
CHROME: Look = {"mirror": (0.62, 0.63, 0.64), "finish": (0.0, 0.0, 0.0)}
STEEL: Look = {"mirror": (0.46, 0.45, 0.43), "finish": (0.16, 0.0, 0.0)}
BRASS: Look = {"mirror": (0.72, 0.50, 0.19), "finish": (0.05, 0.0, 0.0), "gloss": (0.30, 60.0, 0.0)}
GOLD: Look = {"mirror": (0.86, 0.60, 0.22)}
COPPER: Look = {
    "mirror": (0.80, 0.42, 0.27),
    "finish": (0.32, 0.0, 0.0),
    "gloss": (0.35, 18.0, 0.0),
}
VARNISH: Look = {"mirror": (0.06, 0.06, 0.06), "gloss": (0.25, 120.0, 0.0)}


def glossy() -> TracedScene:
    """The scene, the same at every call."""
    add = Builder()
    _bass_drum(add)
    _drum(add, (-0.27, 0.02, 0.07), (0.10, -0.36, 1.0), 0.19, 0.20, LACQUER)
    _drum(add, (0.24, 0.02, 0.07), (-0.10, -0.36, 1.0), 0.17, 0.18, LACQUER)
    _arm(add, (-0.27, 0.02, 0.10))
    _arm(add, (0.24, 0.02, 0.10))
    _drum(add, (0.66, -0.30, GROUND + 0.16), (0.0, 0.0, 1.0), 0.235, 0.38, LACQUER, legs=True)
    _drum(add, (-0.64, -0.34, GROUND + 0.40), (0.12, 0.08, 1.0), 0.205, 0.13, DARK, **CHROME)
    _tripod(add, (-0.64, -0.34), GROUND + 0.39)
    _cymbal(add, (-0.72, 0.24), 0.52, (0.30, -0.24, 1.0), 0.36)
    _cymbal(add, (0.72, 0.30), 0.44, (-0.30, -0.20, 1.0), 0.40)
    _cymbal(add, (-0.98, -0.16), 0.03, (0.02, 0.05, 1.0), 0.20)
    _cymbal(add, (-0.98, -0.16), 0.055, (-0.02, -0.05, 1.0), 0.20, stand=False)
    _balls(add)
    occluders = [
        (0.0, 0.12, GROUND + 0.36, 0.34),
        (0.66, -0.30, GROUND + 0.34, 0.22),
        (-0.64, -0.34, GROUND + 0.47, 0.16),
        (-0.27, 0.02, 0.16, 0.16),
        (0.24, 0.02, 0.15, 0.15),
        (0.0, 0.0, GROUND - 3.0, 2.6),
    ]
    return add.scene(occluders, RADIUS)


def _frame(axis: Vector) -> np.ndarray:
    """Three unit vectors [3, 3]: two across `axis`, and its own."""
    up = np.divide(axis, np.linalg.norm(axis))
    right = np.cross((0.0, 1.0, 0.0) if abs(up[1]) < 0.9 else (0.0, 0.0, 1.0), up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(up, right), up])


def _around(
    frame: np.ndarray, base: Vector, radius: float, turn: float, height: float
) -> np.ndarray:
    """The point at `radius` from an axis, `turn` radians around it and `height` along it."""
    local = np.array([radius * math.cos(turn), radius * math.sin(turn), height])
    return np.asarray(base) + local @ frame


def _drum(
    add: Builder,
    base: Vector,
    axis: Vector,
    radius: float,
    depth: float,
    colour: Vector,
    *,
    num_lugs: int = 8,
    legs: bool = False,
    **look: Any,
) -> None:
    """A shell with two heads, two hoops, and a tuning rod at each lug."""
    frame = _frame(axis)

    def at(out: float, turn: float, height: float) -> np.ndarray:
        return _around(frame, base, out, turn, height)

    add.cylinder(
        at(0, 0, 0), at(0, 0, depth), radius, colour, HEAD, RING, paint=Paint.ENDS,
        pattern=(0.86, 0.90, 0.0), **(look or VARNISH),
    )  # fmt: skip
    for low in (0.004, depth - 0.024):
        add.cylinder(at(0, 0, low), at(0, 0, low + 0.02), radius + 0.014, DARK, **CHROME)
    for i in range(num_lugs):
        turn = 2.0 * math.pi * (i + 0.5) / num_lugs
        add.cylinder(
            at(radius + 0.009, turn, 0.0), at(radius + 0.009, turn, depth), 0.005, DARK, **CHROME
        )
        add.sphere(at(radius + 0.004, turn, 0.5 * depth), 0.016, DARK, **CHROME)
    for i in range(3 if legs else 0):
        turn = 2.0 * math.pi * (i + 0.25) / 3
        top, foot = at(radius + 0.022, turn, 0.6 * depth), at(radius + 0.03, turn, -0.14)
        add.cylinder(foot, top, 0.009, DARK, **CHROME)
        add.sphere(foot, 0.018, RUBBER, gloss=SATIN)


def _bass_drum(add: Builder) -> None:
    """The large drum in the middle, on its side, with two spurs."""
    _drum(add, (0.0, -0.12, GROUND + 0.37), (0.0, 1.0, 0.0), 0.355, 0.44, LACQUER, num_lugs=10)
    for x in (-1.0, 1.0):
        foot = (x * 0.40, -0.20, GROUND + 0.02)
        add.cylinder((x * 0.34, -0.02, GROUND + 0.33), foot, 0.010, DARK, **CHROME)
        add.sphere(foot, 0.02, RUBBER, gloss=SATIN)


def _arm(add: Builder, towards: Vector) -> None:
    """What holds a drum over the large one."""
    add.cylinder((0.0, 0.10, GROUND + 0.72), (0.0, 0.10, 0.10), 0.014, DARK, **CHROME)
    add.cylinder((0.0, 0.10, 0.09), towards, 0.010, DARK, **CHROME)


def _tripod(add: Builder, at: tuple[float, float], top: float) -> None:
    """A rod on three feet."""
    x, y = at
    add.cylinder((x, y, GROUND + 0.05), (x, y, top), 0.009, DARK, **CHROME)
    for i in range(3):
        turn = 2.0 * math.pi * i / 3 + x
        foot = (x + 0.19 * math.cos(turn), y + 0.19 * math.sin(turn), GROUND + 0.012)
        add.cylinder((x, y, GROUND + 0.17), foot, 0.007, DARK, **CHROME)
        add.sphere(foot, 0.015, RUBBER, gloss=SATIN)


def _cymbal(
    add: Builder,
    at: tuple[float, float],
    height: float,
    axis: Vector,
    radius: float,
    *,
    stand: bool = True,
) -> None:
    """A grooved disc with a bell in its middle, tilted, on a tripod."""
    frame, centre = _frame(axis), (at[0], at[1], height)
    ridged: dict[str, Any] = {**BRASS, "paint": Paint.RINGS, "pattern": (70.0, 0, 0)}
    add.spheroid(centre, axis, radius, 0.016, (0.16, 0.10, 0.03), (0.05, 0.03, 0.01), **ridged)
    add.spheroid(_around(frame, centre, 0.0, 0.0, 0.012), axis, 0.2 * radius, 0.03, DARK, **BRASS)
    add.sphere(_around(frame, centre, 0.0, 0.0, 0.055), 0.016, RUBBER, gloss=SATIN)
    if stand:
        _tripod(add, at, height)


def _balls(add: Builder) -> None:
    """A row of balls in front, from a mirror to rough metal, glaze and matt."""
    looks: list[tuple[float, tuple[Vector, ...], Look]] = [
        (0.115, (DARK,), CHROME),
        (0.095, (DARK,), GOLD),
        (0.105, (BLUE,), VARNISH | {"gloss": GLAZE}),
        (0.090, (DARK,), STEEL),
        (0.105, (WHITE, GREEN), VARNISH | {"paint": Paint.STRIPES, "pattern": (5, 11.0, 0)}),
        (0.095, (DARK,), COPPER),
        (0.085, (WALNUT,), {"gloss": MATT}),
    ]
    for i, (radius, colours, look) in enumerate(looks):
        turn = math.radians(-90.0 + (i - 3) * 15.5)
        out = 0.86 + 0.03 * (i % 2)
        centre = (out * math.cos(turn), out * math.sin(turn), GROUND + radius)
        add.sphere(centre, radius, *colours, **look)
    for x, y, radius, metal in (
        (-0.45, 0.62, 0.16, CHROME), (0.34, 0.72, 0.13, GOLD), (-0.05, 0.80, 0.11, STEEL),
    ):  # fmt: skip
        add.sphere((x, y, GROUND + radius), radius, GREY, **metal)
