"""Shared parts of the panels: words that fit, and passing a widget's changes to the drawing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

LINE = 34  # signs of a word that a panel has room for

Later = Callable[[object, Callable[[], object]], None]
"""Takes a key and something to do; see `Client.later`."""


def in_lines(text: str) -> str:
    """Text in Markdown whose long words, such as a path, go on in lines of their own.

    A browser breaks no path, and the panel cuts off what does not fit.
    """
    return re.sub(rf"\S{{{LINE},}}", lambda word: _broken(word.group()), text)


def _broken(word: str) -> str:
    """A word in lines that end with a slash where they can."""
    lines = []
    while len(word) > LINE:
        end = word.rfind("/", 1, LINE) + 1 or LINE
        lines.append(word[:end])
        word = word[end:]
    return "  \n".join([*lines, word])


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
