"""The clients of the page: each has its own viewer, and one thread draws for them in turn."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np

from taichi_pynerf.viewer.drawing.pacing import TimeShare
from taichi_pynerf.viewer.drawing.progressive import FRAME_SECONDS
from taichi_pynerf.viewer.figures import TrainingFigures
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.client import Client, Common
from taichi_pynerf.viewer.web.server import WebServer
from taichi_pynerf.viewer.web.training_panel import TrainingPanel

_AWAY = 0.03  # time for one still picture in a round in which other pictures move, s


class Audience:
    """Draws for all clients of a server, on the thread that calls it, and on no other.

    Args:
        make_viewer: makes a viewer of the model, one for each client.
        server: the server of these clients.
        points: [K, 3] sparse points of the scene, if it has any.

    Attributes:
        figures: figures of the training, if there is one.
        share: division of the time between training and drawing.
        paused: whether a client has paused the training.
        clients: the present clients, by number.
    """

    def __init__(
        self,
        make_viewer: Callable[[], Viewer],
        server: WebServer,
        points: np.ndarray | None = None,
    ):
        self.server, self._make_viewer = server, make_viewer
        self.figures: TrainingFigures | None = None
        self.share = TimeShare()
        self.paused = False
        self._common = Common(points=points)
        self.clients: dict[int, Client] = {}
        self._turn = 0  # whose still picture is next
        self._panel: TrainingPanel | None = None
        first = make_viewer()
        self.save = first.save
        server.start_at(first.camera)

    @property
    def drawing(self) -> bool:
        return self.paused or any(client.wants_drawing for client in self.clients.values())

    @property
    def at_rest(self) -> bool:
        return all(client.at_rest for client in self.clients.values())

    def model_changed(self, training: bool) -> None:
        self._common.training = training
        for client in self.clients.values():
            client.viewer.model_changed(training)

    def training_rests(self) -> None:
        self._common.training = False
        for client in self.clients.values():
            client.viewer.training_rests()

    def round(self, screen: WebServer, seconds: float) -> bool:
        """A round of every client whose picture moves, and of the others in turn.

        Moving pictures share the frame rate of one. Pictures that are refined meanwhile get little
        time in each round, so that no client's moves wait for another's picture.
        """
        busy = self._welcome()
        if self._panel is not None:
            busy |= self._panel.update()
        clients = list(self.clients.values())
        moving = [client for client in clients if client.viewer.moving or client.was_moved]
        still = [client for client in clients if client not in moving]
        for client in moving:
            client.viewer.renderer.budget.frame_seconds = FRAME_SECONDS / len(moving)
            busy |= client.round(seconds)
        if moving:
            self._turn += 1
            waiting = still[self._turn % len(still) :][:1] if still else []
            each = _AWAY
        else:
            waiting, each = still, seconds / max(len(still), 1)
        for client in waiting:
            busy |= client.round(each)
        return busy

    def _welcome(self) -> bool:
        """Add clients that came and remove those that left; returns whether there were any."""
        arrivals, departures = self.server.arrivals, self.server.departures
        changed = bool(arrivals or departures)
        while arrivals:
            handle = arrivals.popleft()
            if self._panel is None:
                self._panel = TrainingPanel(self.server.viser, self)
            self.clients[handle.client_id] = self._greet(handle)
        left = False
        while departures:
            client = self.clients.pop(departures.popleft().client_id, None)
            if client is not None:
                client.leave()
                left = True
        if left:
            client = None
            # The parts of a client refer to one another, and its pictures are large. Python looks
            # for such rings so rarely that those who come and go would fill the memory.
            gc.collect()
        if not self.clients and self._panel is not None:
            self._panel.resume()
        return changed

    def _greet(self, handle: Any) -> Client:
        viewer = self._make_viewer()
        viewer.share, viewer.figures = self.share, self.figures
        viewer.settings.panels, viewer.message = False, ""
        viewer.model_changed(self._common.training)
        return Client(handle, viewer, self._common)
