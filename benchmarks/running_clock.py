"""A clock that leaves out the time in which the process was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable


class RunningClock:
    """Seconds since it was made, as far as the process ran.

    A process that SIGSTOP, a debugger or a sleeping machine holds for minutes has not waited for
    these minutes: nobody could answer it. So no step from one reading to the next counts for more
    than a longest one. Read it more often than that.

    Args:
        longest: of one step, s.
        now: the clock below, s.

    Attributes:
        seconds: at the last reading.
        stopped: seconds that were left out until then.
    """

    def __init__(self, longest: float = 1.0, now: Callable[[], float] = time.monotonic):
        self.longest = longest
        self.seconds = self.stopped = 0.0
        self._now = now
        self._last = now()

    def read(self) -> float:
        """The seconds until now."""
        now = self._now()
        step, self._last = now - self._last, now
        self.seconds += min(step, self.longest)
        self.stopped += max(step - self.longest, 0.0)
        return self.seconds
