"""Translates mouse and keys into camera moves and named actions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.layout import Layout

# Keys as named in `InputFrame`, their actions, and the text of the help.
ACTIONS = {
    " ": ("pause", "Space", "pause and continue the training"),
    "r": ("reset", "R", "the first view again"),
    "m": ("next_mode", "M", "next way of showing"),
    "f": ("frusta", "F", "training cameras"),
    "b": ("box", "B", "scene box"),
    "v": ("drawing", "V", "drawing on and off"),
    "t": ("panels", "T", "panels on and off"),
    "h": ("help", "H", "this help"),
    "p": ("screenshot", "P, F12", "save the picture"),
    "F12": ("screenshot", "", ""),
    "k": ("key_frame", "K", "add a key frame"),
    "BackSpace": ("drop_key_frame", "Backspace", "take the last key frame away"),
    "x": ("export_path", "X", "write camera_path.json"),
    "Left": ("previous_view", "Left, Right", "previous, next training view"),
    "Right": ("next_view", "", ""),
    "Escape": ("close", "Esc", "close the window"),
    **{
        str(digit): (f"view_{digit}", "1 to 9, 0" if digit == 1 else "",
                     "training views, evenly spread" if digit == 1 else "")
        for digit in range(10)
    },
}  # fmt: skip
MOVES = (
    ("left drag", "orbit"),
    ("right drag, or Shift + left drag", "pan"),
    ("middle drag, Up, Down", "nearer and farther"),
    ("Ctrl + left drag", "look around"),
    ("W A S D, Q E", "fly; down, up"),
)
_TURN = math.pi  # radians per drag across the height of the picture
_DOLLY = 3.0  # log distance per drag across the height; a third of it per second of a held key
_FLY = 0.8  # speed of flying, in distances to the target per second
_LEAST_HOLD = 0.04  # seconds of movement for a key tapped between two frames
_GREATEST_HOLD = 0.15  # seconds of movement per frame at most: no leaps after a slow frame


@dataclass(frozen=True)
class InputFrame:
    """Mouse and keyboard input since the previous frame.

    Attributes:
        pressed: keys and buttons that went down, in order. Keys are named by their letter or
            digit, " ", "Left", "Shift", "F12", …; buttons are "LMB", "MMB", "RMB".
        held: keys and buttons that are down now.
        cursor: (x, y) from the top left corner of the window, pixels.
        size: (width, height) of the window, pixels.
        seconds: time since the previous frame.
        touched: whether something else has changed a setting, such as a widget of a page.
    """

    pressed: tuple[str, ...] = ()
    held: frozenset[str] = frozenset()
    cursor: tuple[float, float] = (0.0, 0.0)
    size: tuple[int, int] = (640, 480)
    seconds: float = 1 / 30
    touched: bool = False


@dataclass
class _Drag:
    button: str
    cursor: tuple[float, float]
    before: ViewCamera  # to restore if the drag turns out to belong to a panel


@dataclass
class Controls:
    """Keeps the state between frames: the current drag."""

    _drag: _Drag | None = field(default=None, init=False)

    @property
    def dragging(self) -> bool:
        return self._drag is not None

    def update(
        self, frame: InputFrame, camera: ViewCamera, layout: Layout
    ) -> tuple[ViewCamera, list[str]]:
        """The camera after one frame of input, and the requested actions."""
        actions = [ACTIONS[key][0] for key in frame.pressed if key in ACTIONS]
        camera = self._dragged(frame, camera, layout)
        return self._flown(frame, camera), actions

    def cancel_drag(self, camera: ViewCamera) -> ViewCamera:
        """A widget in a panel moved, so the drag was not for the camera."""
        if self._drag is not None:
            camera, self._drag = self._drag.before, None
        return camera

    def _dragged(self, frame: InputFrame, camera: ViewCamera, layout: Layout) -> ViewCamera:
        if self._drag is not None and self._drag.button not in frame.held:
            self._drag = None
        if self._drag is None:
            for button in ("LMB", "RMB", "MMB"):
                if button in frame.pressed and button in frame.held:
                    if layout.on_picture(frame.cursor):
                        self._drag = _Drag(button, frame.cursor, camera)
                    break
            return camera
        drag, height = self._drag, layout.picture_size[1]
        dx = (frame.cursor[0] - drag.cursor[0]) / height
        dy = (frame.cursor[1] - drag.cursor[1]) / height
        drag.cursor = frame.cursor
        if drag.button == "MMB":
            return camera.dolly(_DOLLY * dy)
        if drag.button == "RMB" or "Shift" in frame.held:
            return camera.pan(-dx, dy)
        if "Control" in frame.held:
            return camera.look(camera.fov_y * dx, camera.fov_y * dy)
        return camera.orbit(-_TURN * dx, _TURN * dy)

    def _flown(self, frame: InputFrame, camera: ViewCamera) -> ViewCamera:
        def hold(key: str) -> float:
            if key in frame.held:
                return min(max(frame.seconds, _LEAST_HOLD), _GREATEST_HOLD)
            return _LEAST_HOLD if key in frame.pressed else 0.0

        step = _FLY * camera.distance
        camera = camera.fly(
            step * (hold("d") - hold("a")),
            step * (hold("e") - hold("q")),
            step * (hold("w") - hold("s")),
        )
        return camera.dolly(_DOLLY / 3.0 * (hold("Down") - hold("Up")))


def help_lines() -> list[tuple[str, str]]:
    """(keys, what they do) for all controls, as the help shows them."""
    return [*MOVES, *((keys, says) for _, keys, says in ACTIONS.values() if keys)]
