"""Who gets the time: training or drawing, and how many rays a moving picture may have."""

from __future__ import annotations

from collections import deque

_MEMORY = 10.0  # seconds that the measured shares and rates look back
_DEBT = 10.0  # seconds that one side can owe the other at most: a pause is not paid back


class TimeShare:
    """Splits one thread's time between training and drawing.

    Training runs step by step and drawing piece by piece; each is told afterwards. Drawing is due
    while it has had less than its share; what it takes too much, it waits for later.

    Args:
        share: training's share of the time, in (0, 1).
    """

    def __init__(self, share: float = 0.5):
        self.share = share
        self._owed = 0.0  # seconds of drawing that training has paid for
        self._training = self._drawing = 0.0  # seconds in the spans
        self._spans: deque[tuple[float, float]] = deque()  # (training, drawing), seconds

    @property
    def share(self) -> float:
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        self._share = min(max(share, 0.05), 0.95)
        self._owed = 0.0

    @property
    def drawing_due(self) -> float:
        """Seconds of drawing that are due now; 0 if it is training's turn."""
        return max(self._owed, 0.0)

    def trained(self, seconds: float) -> None:
        """Training ran for so long."""
        self._owed = min(self._owed + seconds * (1.0 - self.share) / self.share, _DEBT)
        self._note(seconds, 0.0)

    def drew(self, seconds: float) -> None:
        """Drawing, with input and output, ran for so long."""
        self._owed = max(self._owed - seconds, -_DEBT)
        self._note(0.0, seconds)

    def measured(self) -> float | None:
        """Training's share of the last seconds; None before anything ran."""
        total = self._training + self._drawing
        return self._training / total if total > 0.0 else None

    def settle(self) -> None:
        """Nothing is left to draw: training may have the time."""
        self._owed = min(self._owed, 0.0)

    def restart(self) -> None:
        """Forget what was measured and what is owed."""
        self._owed = self._training = self._drawing = 0.0
        self._spans.clear()

    def _note(self, training: float, drawing: float) -> None:
        self._spans.append((training, drawing))
        self._training += training
        self._drawing += drawing
        while self._training + self._drawing - sum(self._spans[0]) > _MEMORY:
            training, drawing = self._spans.popleft()
            self._training -= training
            self._drawing -= drawing


class RayBudget:
    """How many rays a moving picture's pass may have to hold a frame rate; learns from each frame.

    A frame is the pass and all that goes with it: input, colours, the window, the panels. What
    these take is measured, and the pass gets what they leave.

    Args:
        frame_seconds: the time that a frame should take.
        num_rays: the first guess.
    """

    def __init__(self, frame_seconds: float, num_rays: int = 2000):
        self.frame_seconds, self.num_rays = frame_seconds, float(num_rays)
        self._others = 0.0  # seconds of a frame that are not its pass's
        self._pass = 0.0  # seconds of the last pass

    @property
    def seconds(self) -> float:
        """What a pass may take; a third of the frame, however long the rest of it."""
        return max(self.frame_seconds - self._others, self.frame_seconds / 3)

    def measured(self, num_rays: int, seconds: float) -> None:
        """A pass of so many rays took so long. Time grows less than rays do: go half the way."""
        self._pass = seconds
        change = (self.seconds / max(seconds, 1e-4)) ** 0.5
        self.num_rays = max(num_rays * min(max(change, 0.5), 2.0), 64.0)

    def frame_took(self, seconds: float) -> None:
        """The frame of the last pass took so long as a whole."""
        self._others += 0.2 * (max(seconds - self._pass, 0.0) - self._others)


class Rate:
    """Events, or amounts, per second over the last seconds."""

    def __init__(self, memory: float = 2.0):
        self._memory = memory
        self._events: deque[tuple[float, float]] = deque()

    def note(self, now: float, amount: float = 1.0) -> None:
        self._events.append((now, amount))
        while self._events[0][0] < now - self._memory:
            self._events.popleft()

    def per_second(self, now: float) -> float:
        """The rate over the time since the oldest event that is remembered."""
        events = [event for event in self._events if event[0] >= now - self._memory]
        if len(events) < 2:
            return 0.0
        return sum(amount for _, amount in events[1:]) / max(now - events[0][0], 1e-6)
