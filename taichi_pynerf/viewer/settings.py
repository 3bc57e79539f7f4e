"""What a person can set in the viewer."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Mode(enum.Enum):
    """What the picture shows; the values are what the panel calls them."""

    COLOUR = "colour"
    DEPTH = "depth"
    OPACITY = "accumulation"
    NORMALS = "normals"
    LEVEL = "pyramid level"
    ERROR = "error to image"

    @property
    def following(self) -> Mode:
        """The next mode in the list, the first after the last."""
        modes = list(Mode)
        return modes[(modes.index(self) + 1) % len(modes)]


EXPOSURE_RANGE = (-4.0, 4.0)


@dataclass
class ViewSettings:
    """Everything that keys and panels change but the camera.

    Attributes:
        mode: what the picture shows.
        fixed_level: ask one pyramid level everywhere.
        level: which.
        exposure: stops brighter; one stop is twice the light.
        background: behind see-through pixels, each channel in [0, 1].
        frusta, box: draw the training cameras, the scene box.
        drawing: draw at all; without it training has all the time.
        paused: hold training.
        panels, help: show them.
    """

    mode: Mode = Mode.COLOUR
    fixed_level: bool = False
    level: float = 0.0
    exposure: float = 0.0
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    frusta: bool = False
    box: bool = False
    drawing: bool = True
    paused: bool = False
    panels: bool = True
    help: bool = False

    def style(self) -> tuple:
        """What the colours of a drawn picture depend on."""
        return (self.mode, self.exposure, self.background)
