"""A training that is watched in the browser."""

from __future__ import annotations

from taichi_pynerf.training.trainer import PyNeRFTrainer
from taichi_pynerf.viewer.live import LiveTraining
from taichi_pynerf.viewer.web.audience import Audience
from taichi_pynerf.viewer.web.server import WebServer


class WebTraining(LiveTraining):
    """Draws between the steps of a training for the clients; ends when the last one has left.

    Args:
        audience: the clients.
        server: the server of the page.
        trainer: the trainer.
    """

    def __init__(self, audience: Audience, server: WebServer, trainer: PyNeRFTrainer):
        super().__init__(audience, server, trainer)
        self._server = server

    def finish(self) -> None:
        """Called after the training: show the model as long as there are clients."""
        self._server.close_when_alone = True
        super().finish()
        self._server.close()
