"""Whether a window can be shown here; Taichi itself ends the whole process where none can.

The checks are those that GGUI needs and does not make: an X server that answers, and a Vulkan
driver.
"""

from __future__ import annotations

import ctypes
import os
import sys

from taichi_pynerf.errors import DisplayError

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


class _ApplicationInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("application", ctypes.c_char_p),
        ("application_version", ctypes.c_uint32),
        ("engine", ctypes.c_char_p),
        ("engine_version", ctypes.c_uint32),
        ("api_version", ctypes.c_uint32),
    )


class _InstanceInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.POINTER(_ApplicationInfo)),
        ("num_layers", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("num_extensions", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


def _require_vulkan() -> None:
    """Ask the Vulkan loader for a device; macOS is left out, where Taichi brings its own."""
    if sys.platform == "darwin":
        return
    library = "vulkan-1.dll" if sys.platform == "win32" else "libvulkan.so.1"
    try:
        vulkan = ctypes.CDLL(library)
    except OSError:
        raise DisplayError(
            f"no Vulkan here ({library}): install a graphics driver with Vulkan (Debian without a "
            f"GPU: libvulkan1 mesa-vulkan-drivers), or {_INSTEAD}"
        ) from None
    if _count_devices(vulkan) == 0:
        raise DisplayError(
            "Vulkan finds no device: install a graphics driver with Vulkan (Debian without a GPU: "
            f"mesa-vulkan-drivers), or {_INSTEAD}"
        )


def _count_devices(vulkan: ctypes.CDLL) -> int:
    """Devices that a Vulkan 1.0 instance sees; 0 if there is not even an instance."""
    application = _ApplicationInfo(type=0, api_version=1 << 22)
    info = _InstanceInfo(type=1, application=ctypes.pointer(application))
    instance = ctypes.c_void_p()
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)) != 0:
        return 0
    count = ctypes.c_uint32()
    result = vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    vulkan.vkDestroyInstance(instance, None)
    return count.value if result == 0 else 0
