"""Shares the time between training and drawing, and sizes the passes of a moving picture."""

from __future__ import annotations

from collections import deque

_MEMORY = 10.0  # window of the measured shares and rates, s
_DEBT = 10.0  # greatest debt of one side to the other, s, so that a pause is not paid back


class TimeShare:
    """Splits one thread's time between training and drawing.

    Training runs step by step and drawing piece by piece; each reports its time afterwards. Drawing
    is due while it has had less than its share. If it overruns, it waits longer the next time.

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
        """Report time spent on training, s."""
        self._owed = min(self._owed + seconds * (1.0 - self.share) / self.share, _DEBT)
        self._note(seconds, 0.0)

    def drew(self, seconds: float) -> None:
        """Report time spent on drawing, with input and output, s."""
        self._owed = max(self._owed - seconds, -_DEBT)
        self._note(0.0, seconds)

    def measured(self) -> float | None:
        """Training's share of the recent time; None before anything ran."""
        total = self._training + self._drawing
        return self._training / total if total > 0.0 else None

    def settle(self) -> None:
        """Nothing is left to draw, so training may have the time."""
        self._owed = min(self._owed, 0.0)

    def restart(self) -> None:
        """Reset the measurements and debts."""
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
    """The number of rays in a pass that keeps a frame rate, learned from earlier frames.

    A frame consists of the pass and of input, colours, window and panels. The time of these is
    measured, and the pass gets the rest.

    Args:
        frame_seconds: the time that a frame should take.
        num_rays: the first guess.
    """

    def __init__(self, frame_seconds: float, num_rays: int = 2000):
        self.frame_seconds, self.num_rays = frame_seconds, float(num_rays)
        self._others = 0.0  # time of a frame outside its pass, s
        self._pass = 0.0  # time of the last pass, s

    @property
    def seconds(self) -> float:
        """The time a pass may take, s: at least a third of the frame, however long the rest."""
        return max(self.frame_seconds - self._others, self.frame_seconds / 3)

    def measured(self, num_rays: int, seconds: float) -> None:
        """Report a pass. Time grows more slowly than the number of rays, so go half of the way."""
        self._pass = seconds
        change = (self.seconds / max(seconds, 1e-4)) ** 0.5
        self.num_rays = max(num_rays * min(max(change, 0.5), 2.0), 64.0)

    def frame_took(self, seconds: float) -> None:
        """Report the time of the last pass's whole frame, s."""
        self._others += 0.2 * (max(seconds - self._pass, 0.0) - self._others)


class Rate:
    """Rate of events, or amounts, over the recent time."""

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
