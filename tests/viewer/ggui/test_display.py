"""Without a screen or driver, one line says so."""

import ctypes
import sys

import pytest

from taichi_pynerf.errors import DisplayError
from taichi_pynerf.runtime import hardware
from taichi_pynerf.viewer.ggui import display

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11 is Linux's")


def refusal():
    with pytest.raises(DisplayError) as caught:
        display.require_display()
    message = str(caught.value)
    assert "\n" not in message
    return message


@linux
def test_no_display_is_named(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    message = refusal()
    assert "DISPLAY is not set" in message
    assert "apps/render.py" in message
    assert "xvfb-run" in message


@linux
def test_wayland_alone_is_not_enough(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert "Xwayland" in refusal()


@linux
def test_a_display_that_does_not_answer_is_named(monkeypatch):
    try:
        ctypes.CDLL("libX11.so.6")
    except OSError:
        pytest.skip("no libX11 here")
    monkeypatch.setenv("DISPLAY", ":987")
    message = refusal()
    assert "no screen answers at DISPLAY=:987" in message


def no_loader(name):
    raise OSError(name)


class NoDriver:
    """A Vulkan loader without a driver."""

    vkCreateInstance = staticmethod(lambda *_: -9)  # VK_ERROR_INCOMPATIBLE_DRIVER


@pytest.mark.parametrize("loader", [no_loader, lambda name: NoDriver()])
def test_no_vulkan_is_named(loader, monkeypatch):
    monkeypatch.setattr(display, "_require_x_server", lambda: None)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(hardware.ctypes, "CDLL", loader)
    assert "no Vulkan device here" in refusal()
