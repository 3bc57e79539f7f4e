"""Checks whether a window can be shown; Taichi itself would end the process if not.

GGUI needs an X server that answers and a Vulkan driver, and checks for neither.
"""

from __future__ import annotations

import ctypes
import os
import sys

from taichi_pynerf.errors import DisplayError
from taichi_pynerf.runtime import hardware

_INSTEAD = "render pictures with apps/render.py instead"


def require_display() -> None:
    """Return if a window can be shown.

    Raises:
        DisplayError: there is no screen or no Vulkan driver; the message says what to do.
    """
    if sys.platform.startswith("linux"):
        _require_x_server()
    _require_vulkan()


def _require_x_server() -> None:
    name = os.environ.get("DISPLAY", "")
    if not name:
        reason = "DISPLAY is not set"
        if os.environ.get("WAYLAND_DISPLAY"):
            reason = "Taichi's window needs Xwayland, and DISPLAY is not set"
        raise DisplayError(
            f"no screen here ({reason}): {_INSTEAD}, or start a virtual one with "
            "`xvfb-run -a python …`"
        )
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        raise DisplayError("no libX11.so.6 here: install it (Debian: libx11-6)") from None
    x11.XOpenDisplay.restype = ctypes.c_void_p
    # Stays open as long as the process: a server such as Xvfb starts over when its last client
    # leaves, and turns away a window that comes while it does.
    if not x11.XOpenDisplay(None):
        raise DisplayError(
            f"no screen answers at DISPLAY={name}: {_INSTEAD}, set DISPLAY to a running X server, "
            "or start a virtual one with `xvfb-run -a python …`"
        )


def _require_vulkan() -> None:
    """Ask the Vulkan loader for a device; macOS is left out, where Taichi brings its own."""
    if sys.platform != "darwin" and not hardware.vulkan_devices():
        raise DisplayError(
            "no Vulkan device here: install a graphics driver with Vulkan (Debian without a GPU: "
            f"libvulkan1 mesa-vulkan-drivers), or {_INSTEAD}"
        )
