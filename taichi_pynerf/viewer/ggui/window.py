"""The window: Taichi's GGUI, plus what it lacks on X11."""

import time
from pathlib import Path

import numpy as np
import taichi as ti
from taichi.ui.utils import get_field_info

from taichi_pynerf import runtime
from taichi_pynerf.errors import DisplayError
from taichi_pynerf.viewer.chart import draw_chart
from taichi_pynerf.viewer.controls import InputFrame
from taichi_pynerf.viewer.ggui.display import require_display
from taichi_pynerf.viewer.ggui.panels import draw_panels
from taichi_pynerf.viewer.ggui.x11 import X11Window
from taichi_pynerf.viewer.layout import CHART_HEIGHT, Layout
from taichi_pynerf.viewer.viewer import Viewer

_COLUMN = (24, 24, 28)  # behind the panels
_HELD = (
    *"wasdqe",
    *(getattr(ti.ui, name) for name in ("SHIFT", "CTRL", "UP", "DOWN", "LMB", "RMB", "MMB")),
)


class Window:
    """A screen for a viewer.

    Args:
        title: title of the window.
        width, height: size of the picture between the panels, pixels.

    Raises:
        DisplayError: there is no screen or no driver here.
    """

    how_to_close = "close the window"

    def __init__(self, title: str, width: int = 640, height: int = 480):
        require_display()
        runtime.start()
        size = Layout.window_size(width, height)
        # ImGui stores the panels' positions in the current folder.
        self._notes = Path("imgui.ini").absolute()
        self._notes_are_ours = not self._notes.exists()
        try:
            self._window = ti.ui.Window(title, size, vsync=False)
        except Exception as error:  # GGUI raises plain exceptions of several kinds
            raise DisplayError(f"no window can be made here: {error}") from None
        self._canvas, self._gui = self._window.get_canvas(), self._window.get_gui()
        self._canvas.set_background_color(tuple(c / 255 for c in _COLUMN))
        self._open, self._polled_at = True, time.perf_counter()
        self._heard: list[str] = []  # keys of X11 that are newer than what Taichi has told
        self._due: list[str] = []
        self._packed: np.ndarray | None = None
        self._window.show()  # from here on X11 knows the window
        try:
            self._x11: X11Window | None = X11Window(title)
        except OSError:
            self._x11 = None  # Windows, macOS: no digit keys, and minimising is not detected

    @property
    def open(self) -> bool:
        return self._open and self._window.running

    @property
    def hidden(self) -> bool:
        return self._x11 is not None and self._x11.minimised

    def poll(self) -> InputFrame:
        window = self._window
        keys = [event.key for event in window.get_events(ti.ui.PRESS)] + self._due
        self._due = []
        if self._x11 is not None:
            self._heard += self._x11.poll()
        now = time.perf_counter()
        seconds, self._polled_at = now - self._polled_at, now
        width, height = window.get_window_shape()
        x, y = window.get_cursor_pos()
        return InputFrame(
            pressed=tuple(keys),
            held=frozenset(key for key in _HELD if window.is_pressed(key)),
            cursor=(x * width, (1.0 - y) * height),
            size=(width, height),
            seconds=seconds,
        )

    def show(self, viewer: Viewer) -> bool:
        image = window_image(viewer)
        # GGUI wants [W, H] packed pixels, from the bottom up. Its own conversion of arrays takes
        # several times as long and keeps a buffer for every size that it has seen.
        self._packed = np.ascontiguousarray(image.view(np.uint32)[::-1, :, 0].T)
        self._canvas.canvas.set_image(get_field_info(self._packed))
        changed = draw_panels(self._gui, viewer, chart_height(viewer))
        # Taichi asks for input here. A key of X11 waits for it, so that whatever came before the
        # key, such as another size of the window, takes effect before it.
        self._window.show()
        self._due, self._heard = self._due + self._heard, []
        return changed

    def close(self) -> None:
        """Close the window; may be called again."""
        if self._open:
            self._open = False
            if self._x11 is not None:
                self._x11.close()
            self._window.destroy()
            if self._notes_are_ours:
                self._notes.unlink(missing_ok=True)


def chart_height(viewer: Viewer) -> int:
    """Height of the chart; 0 without a training or without room."""
    fits = viewer.layout.panel_width and viewer.layout.height >= 3 * CHART_HEIGHT
    return CHART_HEIGHT if fits and viewer.figures is not None else 0


def window_image(viewer: Viewer) -> np.ndarray:
    """uint8 [H, W, 4] of the window, without the panels that GGUI draws over it."""
    layout = viewer.layout
    left, (width, height) = layout.panel_width, layout.picture_size
    packed = np.array((*_COLUMN, 255), dtype=np.uint8).view(np.uint32)  # whole pixels fill faster
    rows, columns = max(layout.height, 1), max(layout.width, 1)
    image = np.full((rows, columns), packed).view(np.uint8).reshape(rows, columns, 4)
    image[:height, left : left + width, :3] = viewer.picture()
    rows = chart_height(viewer)
    if rows and viewer.figures is not None:
        chart = draw_chart(left, rows, viewer.figures.losses, viewer.figures.psnrs)
        image[-rows:, :left, :3] = chart
    return image
