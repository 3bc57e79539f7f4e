"""Shared part of the panels: passing a widget's changes to the thread that draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Later = Callable[[object, Callable[[], object]], None]
"""Takes a key and something to do; see `Client.later`."""


def on_change(later: Later, widget: Any, apply: Callable[[Any], object]) -> None:
    """Have `apply` called with a widget's value, by the thread that draws, when it changes."""

    async def changed(event: Any) -> None:
        if event.client_id is None:  # the program itself has set it
            return
        value = widget.value
        later(id(widget), lambda: apply(value))

    widget.on_update(changed)


def on_click(later: Later, button: Any, act: Callable[[], object]) -> None:
    """Have `act` called when a button is clicked."""

    async def clicked(_: Any) -> None:
        later(id(button), act)

    button.on_click(clicked)


class Mirror:
    """Keeps a widget at a value that other input changes too.

    Args:
        widget: shows the value, and lets the browser change it.
        read: gives the value now; None keeps what the widget shows.
    """

    def __init__(self, widget: Any, read: Callable[[], Any]):
        self._widget, self._read = widget, read
        self._known = read()

    def note(self) -> None:
        """Take the value as it is for the widget's own: a hand may be moving it further."""
        self._known = self._read()

    def update(self) -> None:
        """Show the value if other input than the widget has changed it."""
        value = self._read()
        if value != self._known:
            self._known = value
            if value is not None:
                self._widget.value = value
