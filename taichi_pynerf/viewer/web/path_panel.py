"""Key frames of one client: recording, preview, and films."""

from __future__ import annotations

from functools import partial
from typing import Any

from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.widgets import Later, on_click


class PathPanel:
    """Widgets for key frames and the flight through them.

    Args:
        handle: viser's handle of the client.
        viewer: its viewer.
        later: hands work to the thread that draws.
    """

    def __init__(self, handle: Any, viewer: Viewer, later: Later):
        self.handle, self.viewer = handle, viewer
        gui = handle.gui
        with gui.add_folder("Key frames", expand_by_default=False):
            for label, action in (
                ("Add key frame", "key_frame"),
                ("Remove the last", "drop_key_frame"),
                ("Write camera path", "export_path"),
            ):
                on_click(later, gui.add_button(label), partial(viewer.act, action))

    @property
    def busy(self) -> bool:
        """Whether a film is being made, or a preview runs."""
        return False

    def steer(self) -> bool:
        """Move the camera along, in a preview; returns whether it moved."""
        return False

    def advance(self, seconds: float) -> bool:
        """Draw a film for about `seconds`; returns whether there is one."""
        return False

    def update(self) -> None:
        """Show what is new."""

    def stop(self) -> None:
        """Give a film up."""
