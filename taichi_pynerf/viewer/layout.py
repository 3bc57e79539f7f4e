"""Positions of the panels and the picture in the window."""

from __future__ import annotations

from dataclasses import dataclass

PANEL_WIDTH = 236  # pixels
CHART_HEIGHT = 110  # pixels
_LEAST_PICTURE = 160  # width of the picture below which panels are hidden, pixels
_HELP_SIZE = (520, 400)  # pixels


@dataclass(frozen=True)
class Layout:
    """The parts of a window: a panel on each side of the picture, or the picture alone.

    Attributes:
        width, height: size of the window, pixels.
        panels: show the panels; a window too narrow for them shows none.
        help: show the help over the picture.
    """

    width: int
    height: int
    panels: bool = True
    help: bool = False

    @property
    def panel_width(self) -> int:
        """Width of one panel; 0 if there are none."""
        fits = self.width >= 2 * PANEL_WIDTH + _LEAST_PICTURE
        return PANEL_WIDTH if self.panels and fits else 0

    @property
    def picture_size(self) -> tuple[int, int]:
        """(width, height), at least 1 each."""
        return max(self.width - 2 * self.panel_width, 1), max(self.height, 1)

    @property
    def help_box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom), in the middle of the picture."""
        width, height = min(_HELP_SIZE[0], self.width), min(_HELP_SIZE[1], self.height)
        left, top = (self.width - width) // 2, (self.height - height) // 2
        return left, top, left + width, top + height

    def on_picture(self, cursor: tuple[float, float]) -> bool:
        """Whether a point (x, y) of the window is on the picture and not covered."""
        x, y = cursor
        if self.help:
            left, top, right, bottom = self.help_box
            if left <= x < right and top <= y < bottom:
                return False
        return self.panel_width <= x < self.width - self.panel_width and 0 <= y < self.height

    @classmethod
    def window_size(cls, width: int, height: int) -> tuple[int, int]:
        """The window whose picture has the given size."""
        return width + 2 * PANEL_WIDTH, height
