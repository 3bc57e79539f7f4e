"""The viewer's settings."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from taichi_pynerf.geometry.crop_box import CropBox


class Mode(enum.Enum):
    """What the picture shows; the values are the names in the panel."""

    COLOUR = "colour"
    DEPTH = "depth"
    OPACITY = "accumulation"
    NORMALS = "normals"
    LEVEL = "pyramid level"
    ERROR = "error to image"

    @property
    def following(self) -> Mode:
        """The next mode, cyclically."""
        modes = list(Mode)
        return modes[(modes.index(self) + 1) % len(modes)]


EXPOSURE_RANGE = (-4.0, 4.0)


@dataclass
class ViewSettings:
    """Everything that keys and panels change, except the camera.

    Attributes:
        mode: what the picture shows.
        fixed_level: use one pyramid level everywhere.
        level: that level.
        exposure: stops brighter; one stop is twice the light.
        background: colour behind transparent pixels, each channel in [0, 1].
        frusta, box: draw the training cameras, the scene box.
        drawing: draw at all; otherwise training gets all the time.
        paused: pause training.
        panels, help: show them.
        crop: the box that cuts the scene.
        cropping: whether it does.
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
    crop: CropBox = field(default_factory=lambda: CropBox((0.0, 0.0, 0.0), (2.0, 2.0, 2.0)))
    cropping: bool = False

    def style(self) -> tuple:
        """Everything that the colours of a drawn picture depend on."""
        return (self.mode, self.exposure, self.background)
