"""A window without a window: input from a script, and panels that answer like GGUI's."""

from __future__ import annotations

import contextlib
from collections import deque

from taichi_pynerf.viewer.controls import InputFrame
from taichi_pynerf.viewer.ggui.panels import draw_panels
from taichi_pynerf.viewer.viewer import Viewer


class FakeGui:
    """Answers with the old values, but for the widgets that are to change once: {label: value}."""

    def __init__(self):
        self.changes: dict = {}
        self.texts: list[str] = []
        self.labels: set[str] = set()

    @contextlib.contextmanager
    def sub_window(self, name, x, y, width, height):
        assert all(-1e-9 <= value <= 1 + 1e-9 for value in (x, y, width, height))
        yield self

    def text(self, text, color=None):
        self.texts.append(text)

    def button(self, text):
        return bool(self._answer(text, False))

    def checkbox(self, text, old_value):
        return self._answer(text, old_value)

    def slider_float(self, text, old_value, minimum, maximum):
        return self._answer(text, old_value)

    def slider_int(self, text, old_value, minimum, maximum):
        assert isinstance(old_value, int)
        return self._answer(text, old_value)

    def color_edit_3(self, text, old_value):
        return self._answer(text, old_value)

    def _answer(self, label, old_value):
        self.labels.add(label)
        return self.changes.pop(label, old_value)


class FakeScreen:
    """Gives the frames of a script, then still ones; closes when the script says "close"."""

    how_to_close = "close the window"

    def __init__(self, frames=(), size=(632, 100)):
        self.frames, self.size = deque(frames), size
        self.gui = FakeGui()
        self.open, self.hidden = True, False
        self.num_shown = self.num_polled = 0
        self.picture = None
        self.shown_at_poll: list[int] = []

    def poll(self) -> InputFrame:
        self.num_polled += 1
        if not self.frames:
            return InputFrame(size=self.size, cursor=(1.0, 1.0))
        frame = self.frames.popleft()
        if callable(frame):
            return frame(self) or InputFrame(size=self.size, cursor=(1.0, 1.0))
        self.size = frame.size
        return frame

    def show(self, viewer: Viewer) -> bool:
        self.num_shown += 1
        self.picture = viewer.picture()
        self.gui.texts.clear()
        return draw_panels(self.gui, viewer)

    def close(self) -> None:
        self.open = False
