"""The objects of the demo scene `foliage`: a weeping fig in a glazed pot.

It is what a field finds hard in plants: hundreds of leaves on stalks thinner than a pixel, in front
of each other and of nothing, lit through where the light is behind them. Everything fits in the
box [-1.3, 1.3]^3. z is up.
"""

import math
from itertools import pairwise

import numpy as np

from taichi_pynerf.demo.builder import GLAZE, MATT, SATIN, Builder, Vector
from taichi_pynerf.demo.tracer import Paint, Row, TracedScene

RADIUS = 1.42  # radius of a sphere around the world's origin that holds everything
FOOT, SOIL = -1.0, -0.50  # heights of the pot's foot and of the soil
CROWN, CROWN_SIZE = (0.0, 0.0, 0.33), (0.80, 0.80, 0.62)  # an ellipsoid around the branches
NEIGHBOURHOOD = 0.22  # leaves this near above a leaf take the sky's light from it

GLAZED_BLUE = (0.02, 0.075, 0.16)
CREAM = (0.74, 0.69, 0.58)
EARTH = (0.055, 0.035, 0.022)
BARK, BARK_LIGHT = (0.24, 0.17, 0.11), (0.33, 0.25, 0.17)
STALK = (0.20, 0.24, 0.07)
GREENS = ((0.035, 0.125, 0.028), (0.055, 0.175, 0.035), (0.105, 0.235, 0.045), (0.03, 0.10, 0.04))
RIB = (0.17, 0.30, 0.10)
THROUGH = (0.24, 0.42, 0.05)  # of leaves, for light from behind
LEAF_GLOSS = (0.22, 45.0, 0.55)
CERAMIC = (0.045, 0.045, 0.045)  # reflectance of the glaze


def foliage() -> TracedScene:
    """The scene, the same at every call."""
    add = Builder()
    _pot(add)
    _Plant(add, np.random.default_rng(3)).grow()
    scene = add.scene([(*CROWN, 0.34), (0.0, 0.0, FOOT + 0.26, 0.26)], RADIUS)
    is_leaf = scene.kinds[:, 1] == Paint.VEINS
    scene.table[is_leaf, Row.FINISH, 2] = hidden_sky(scene.table[is_leaf, Row.ORIGIN])
    return scene


def hidden_sky(centres: np.ndarray) -> np.ndarray:
    """The share of the sky [N] that other leaves hide from each leaf at `centres` [N, 3]."""
    to_others = centres[None].astype(np.float64) - centres[:, None]
    near = np.linalg.norm(to_others, axis=-1) < NEIGHBOURHOOD
    above = (near & (to_others[..., 2] > 0.01)).sum(1)
    return 0.8 * (1.0 - np.exp(-above / 18.0))


def _pot(add: Builder) -> None:
    """A bellied pot with a foot, a rim and bands, and the soil in it."""
    glaze = {"gloss": GLAZE, "mirror": CERAMIC}
    add.spheroid((0.0, 0.0, FOOT + 0.24), (0.0, 0.0, 1.0), 0.36, 0.25, GLAZED_BLUE, **glaze)
    add.cylinder((0.0, 0.0, FOOT), (0.0, 0.0, FOOT + 0.05), 0.22, CREAM, **glaze)
    add.cylinder(
        (0.0, 0.0, FOOT + 0.36), (0.0, 0.0, SOIL - 0.045), 0.285, CREAM, GLAZED_BLUE,
        paint=Paint.CHECKS, pattern=(24, 26.0, 0), **glaze,
    )  # fmt: skip
    add.cylinder((0.0, 0.0, SOIL - 0.05), (0.0, 0.0, SOIL), 0.325, GLAZED_BLUE, **glaze)
    add.spheroid((0.0, 0.0, SOIL), (0.0, 0.0, 1.0), 0.285, 0.035, EARTH, gloss=MATT)
    for i in range(14):  # pebbles
        a, out = i * 2.39996, 0.25 * math.sqrt((i + 0.5) / 14)
        at = (out * math.cos(a), out * math.sin(a), SOIL + 0.03)
        add.spheroid(at, (0.0, 0.0, 1.0), 0.022 + 0.004 * (i % 3), 0.016, CREAM, gloss=SATIN)


class _Plant:
    """Grows trunks, branches, twigs and leaves from the soil up."""

    def __init__(self, add: Builder, rng: np.random.Generator) -> None:
        self._add, self._rng = add, rng

    def grow(self) -> None:
        """Three trunks wound around each other, and their branches."""
        for i in range(3):
            start = 2.0 * math.pi * i / 3
            points = []
            for j in range(8):
                turn, out = start + 0.62 * j, 0.055 + 0.012 * max(j - 5, 0)
                height = SOIL - 0.02 + 0.085 * j
                points.append(np.array([out * math.cos(turn), out * math.sin(turn), height]))
            for j, (low, high) in enumerate(pairwise(points)):
                self._stick(low, high, 0.030 - 0.0015 * j, BARK_LIGHT if i == 1 else BARK)
            ahead = points[-1] - points[-2]
            aside = points[-1] * (1.0, 1.0, 0.0)
            aside /= np.linalg.norm(aside)
            for k in range(3):
                turned = _turned(aside, (k - 1.0) * 0.7)
                rise = (0.15, 2.2, 0.8)[k]
                self._branch(points[-1 if k % 2 else -2], turned + rise * ahead / 0.085, 0.42, 0)

    def _branch(self, foot: np.ndarray, towards: np.ndarray, length: float, order: int) -> None:
        """A branch of three parts that bends up, with branches or leaves along it."""
        radius = (0.014, 0.0075, 0.0045)[order]
        direction, at = towards / np.linalg.norm(towards), foot
        for part in range(3):
            bend = self._rng.normal(0.0, 0.16, 3)
            bend[2] += (0.10, -0.02, -0.22)[order]
            direction = (direction + bend) / np.linalg.norm(direction + bend)
            end = _within_crown(at + direction * length / 3)
            self._stick(at, end, radius * (1.0 - 0.18 * part), BARK if order == 0 else STALK)
            if order == 2:
                self._leaves(at, end, direction, part)
            elif part > 0 or order == 1:
                for sign in (-1.0, 1.0):
                    aside = np.cross(direction, self._rng.normal(size=3))
                    aside = sign * aside / np.linalg.norm(aside)
                    self._branch(end, direction + 1.1 * aside, 0.62 * length, order + 1)
            at = end
            if order == 1 and part == 1:
                break

    def _leaves(self, a: np.ndarray, b: np.ndarray, direction: np.ndarray, part: int) -> None:
        """Leaves on stalks along a twig, to its two sides in turn; one at its end."""
        rng = self._rng
        across = np.cross(direction, (0.0, 0.0, 1.0)) + 1e-6
        across /= np.linalg.norm(across)
        for i in range(2):
            sign = -1.0 if (i + part) % 2 else 1.0
            foot = a + (b - a) * (0.3 + 0.5 * i)
            if part == 2 and i == 1:
                foot, sign = b, 0.0
            away = 0.55 * direction + 0.8 * sign * across + rng.normal(0.0, 0.28, 3)
            away += (0.0, 0.0, -0.45)
            away /= np.linalg.norm(away)
            half = rng.uniform(0.054, 0.084)
            stalk_end = foot + 0.028 * away
            self._stick(foot, stalk_end, 0.0026, STALK)
            droop = np.add(away, (0.0, 0.0, -0.25))
            droop /= np.linalg.norm(droop)
            centre = stalk_end + half * droop
            normal = np.array([0.0, 0.0, 1.0]) + 0.5 * away * (1.0, 1.0, 0.0)
            normal += rng.normal(0.0, 0.35, 3)
            green = GREENS[int(rng.choice(4, p=(0.35, 0.35, 0.12, 0.18)))]
            self._add.leaf(
                centre, droop, normal, (half, 0.40 * half, 0.28),
                green, RIB, THROUGH, paint=Paint.VEINS, pattern=(7.0, 0, 0), gloss=LEAF_GLOSS,
                finish=(0.0, 0.55, 0.0),
            )  # fmt: skip

    def _stick(self, a: np.ndarray, b: np.ndarray, radius: float, colour: Vector) -> None:
        self._add.cylinder(a, b, radius, colour, gloss=SATIN)


def _turned(v: np.ndarray, angle: float) -> np.ndarray:
    """`v` turned about the z axis by an angle in radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([cos * v[0] - sin * v[1], sin * v[0] + cos * v[1], v[2]])


def _within_crown(p: np.ndarray) -> np.ndarray:
    """`p`, drawn to the surface of the crown if it is outside."""
    out = (p - CROWN) / CROWN_SIZE
    distance = float(np.linalg.norm(out))
    return p if distance <= 1.0 else CROWN + out / distance * CROWN_SIZE
