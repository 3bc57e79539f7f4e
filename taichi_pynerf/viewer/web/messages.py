"""Messages to the page from the thread that trains and draws.

viser wakes its senders by an event of asyncio, and sets it in whatever thread a message is made in.
Such an event belongs to its loop's thread: if a sender begins to wait at that moment, setting it is
a RuntimeError ("deque mutated during iteration"), which ended the training. viser asks the loop to
set the event, too; that is enough.
"""

from __future__ import annotations

import asyncio
from typing import Any

from taichi_pynerf.extras import optional


class LoopEvent(asyncio.Event):
    """An event that only its loop's thread sets; in other threads `set` does nothing.

    Args:
        loop: which waits for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop):
        super().__init__()
        self.loop = loop

    def set(self) -> None:
        """Wake those who wait, if this is the loop's thread."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:  # a thread without a loop
            return
        if here is self.loop:
            super().set()


def make_thread_safe() -> bool:
    """Give viser's buffers of messages events of this kind, from now on; False if it has none.

    Raises:
        MissingPackageError: viser is not installed.
    """
    infra: Any = optional("viser.infra._infra", "web")
    buffer = getattr(infra, "AsyncMessageBuffer", None)
    if buffer is None or "message_event" not in getattr(buffer, "__dataclass_fields__", {}):
        return False
    if not getattr(buffer, "is_thread_safe", False):
        infra.AsyncMessageBuffer = _thread_safe(buffer)
    return True


def _thread_safe(buffer: type) -> type:
    class Buffer(buffer):
        is_thread_safe = True

        def __init__(self, *args: Any, **options: Any):
            super().__init__(*args, **options)
            self.message_event = LoopEvent(self.event_loop)

    return Buffer
