"""Shared part of the panels: passing a widget's changes to the thread that draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Later = Callable[[object, Callable[[], object]], None]
"""Takes a key and something to do; see `Client.later`."""


def on_change(later: Later, widget: Any, apply: Callable[[Any], object]) -> None:
    """Have `apply` called with a widget's value, by the thread that draws, when it changes."""

    async def changed(_: Any) -> None:
        value = widget.value
        later(id(widget), lambda: apply(value))

    widget.on_update(changed)


def on_click(later: Later, button: Any, act: Callable[[], object]) -> None:
    """Have `act` called when a button is clicked."""

    async def clicked(_: Any) -> None:
        later(id(button), act)

    button.on_click(clicked)
