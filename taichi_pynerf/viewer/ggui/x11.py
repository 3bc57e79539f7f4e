"""Input that Taichi's window does not report on X11: digits, function keys, minimising.

A second connection to the X server listens to the same window.
"""

from __future__ import annotations

import ctypes
import os
import sys

_KEY_PRESS, _UNMAP, _MAP, _PROPERTY = 2, 18, 19, 28
_MASKS = (1 << 0) | (1 << 17) | (1 << 22)  # key presses, structure, properties
_ATOM = 4
_F12 = 0xFFC9
_KEYPAD_0 = 0xFFB0


_ErrorHandler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


@_ErrorHandler
def _ignore(_display: int, _error: int) -> int:
    """Ignore X errors, such as a window just closed; Xlib's handler would end the process."""
    return 0


class X11Window:
    """A second listener on a window of this process.

    Args:
        title: title of the window.

    Raises:
        OSError: there is no libX11, no X server, or no such window.
    """

    def __init__(self, title: str):
        if not sys.platform.startswith("linux"):
            raise OSError("no X11 on this platform")
        self._x11 = x11 = ctypes.CDLL("libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XDefaultRootWindow.restype = x11.XInternAtom.restype = ctypes.c_ulong
        x11.XLookupKeysym.restype = ctypes.c_ulong
        connection = x11.XOpenDisplay(None)
        if not connection:
            raise OSError("no X server answers")
        self._display: ctypes.c_void_p | None = ctypes.c_void_p(connection)
        x11.XSetErrorHandler(_ignore)
        root = ctypes.c_ulong(x11.XDefaultRootWindow(self._display))
        window = self._find(root, title.encode())
        if window is None:
            self.close()
            raise OSError(f"no window of this process is called {title}")
        self._window = window
        self.minimised = False
        x11.XSelectInput(self._display, window, ctypes.c_long(_MASKS))
        x11.XSync(self._display, 0)

    def poll(self) -> list[str]:
        """Digits and "F12" pressed since the last call; updates `minimised`."""
        keys = []
        event = (ctypes.c_long * 24)()  # a union of all events, as large as any
        while self._x11.XPending(self._display):
            self._x11.XNextEvent(self._display, ctypes.byref(event))
            kind = ctypes.cast(event, ctypes.POINTER(ctypes.c_int)).contents.value
            if kind == _KEY_PRESS:
                keys += self._key(event)
            elif kind in (_UNMAP, _MAP):
                self.minimised = kind == _UNMAP
            elif kind == _PROPERTY:
                self.minimised = self._hidden()
        return keys

    def close(self) -> None:
        """Stop listening."""
        if self._display is not None:
            self._x11.XCloseDisplay(self._display)
            self._display = None

    def _key(self, event: ctypes.Array) -> list[str]:
        """The key's name, if Taichi does not report it."""
        for column in (0, 1):  # plain and with Shift: some keyboards have digits there
            symbol = self._x11.XLookupKeysym(ctypes.byref(event), column)
            if ord("0") <= symbol <= ord("9"):
                return [chr(symbol)]
            if _KEYPAD_0 <= symbol <= _KEYPAD_0 + 9:
                return [str(symbol - _KEYPAD_0)]
            if symbol == _F12:
                return ["F12"]
        return []

    def _hidden(self) -> bool:
        """Whether the window is minimised, as the window manager says; some keep it mapped."""
        hidden = self._atom(b"_NET_WM_STATE_HIDDEN")
        return hidden in self._property(self._window, self._atom(b"_NET_WM_STATE"), _ATOM)

    def _find(self, window: ctypes.c_ulong, title: bytes) -> ctypes.c_ulong | None:
        """The window of this process with the title, at or below a window."""
        name = ctypes.c_char_p()
        named = self._x11.XFetchName(self._display, window, ctypes.byref(name)) != 0
        found = named and name.value == title
        if named:
            self._x11.XFree(name)
        if found:
            (pid,) = self._property(window, self._atom(b"_NET_WM_PID"), 6) or [os.getpid()]
            if pid == os.getpid():
                return window
        root, parent = ctypes.c_ulong(), ctypes.c_ulong()
        children, count = ctypes.POINTER(ctypes.c_ulong)(), ctypes.c_uint()
        self._x11.XQueryTree(
            self._display, window, ctypes.byref(root), ctypes.byref(parent),
            ctypes.byref(children), ctypes.byref(count),
        )  # fmt: skip
        below = [ctypes.c_ulong(children[i]) for i in range(count.value)]
        if count.value:
            self._x11.XFree(children)
        matches = (self._find(child, title) for child in below)
        return next((match for match in matches if match is not None), None)

    def _atom(self, name: bytes) -> int:
        return self._x11.XInternAtom(self._display, name, 0)

    def _property(self, window: ctypes.c_ulong, name: int, kind: int) -> list[int]:
        """The values of a property of 32-bit items; empty if it is absent."""
        actual, form = ctypes.c_ulong(), ctypes.c_int()
        count, left = ctypes.c_ulong(), ctypes.c_ulong()
        data = ctypes.POINTER(ctypes.c_ulong)()  # Xlib returns 32-bit items as longs
        self._x11.XGetWindowProperty(
            self._display, window, ctypes.c_ulong(name), ctypes.c_long(0), ctypes.c_long(64), 0,
            ctypes.c_ulong(kind), ctypes.byref(actual), ctypes.byref(form), ctypes.byref(count),
            ctypes.byref(left), ctypes.byref(data),
        )  # fmt: skip
        values = [data[i] for i in range(count.value)] if form.value == 32 else []
        if data:
            self._x11.XFree(data)
        return values
