"""Runs the viewer: beside a training on the same thread, or alone."""

from __future__ import annotations

import time
from typing import Any, Protocol

from taichi_pynerf.training.trainer import PyNeRFTrainer
from taichi_pynerf.viewer.drawing.pacing import TimeShare
from taichi_pynerf.viewer.drawing.progressive import ROUND_SECONDS
from taichi_pynerf.viewer.figures import TrainingFigures
from taichi_pynerf.viewer.viewer import Surface

_QUIET_SECONDS = 0.1  # interval between checks of the input while drawing is off, s
_REST_SECONDS = 0.03  # sleep when nothing is left to draw, s
_SHOW_SECONDS = 0.02  # estimate of the time to show a frame, s


class Watched(Protocol):
    """What draws: one viewer in its window, or those of all who look at a page."""

    share: TimeShare
    figures: TrainingFigures | None

    @property
    def drawing(self) -> bool:
        """Whether anything is to be drawn at all."""

    @property
    def paused(self) -> bool:
        """Whether training should wait."""

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left to draw of the model as it is."""

    def model_changed(self, training: bool) -> None:
        """Hear that the model has changed; `training` says whether it will change again."""

    def training_rests(self) -> None:
        """Hear that the model will not change."""

    def round(self, screen: Any, seconds: float) -> bool:
        """Handle input, draw for about `seconds`, show it; returns whether anything changed."""


class LiveTraining:
    """Draws between the steps of a training, because Taichi is not thread-safe.

    Pass it to `PyNeRFTrainer.train` as `on_step`. The viewer's slider sets training's share of
    the time. With drawing off, or the window minimised, training gets all of it.

    Args:
        viewer: what draws.
        screen: the window to draw in, or the server of the page.
        trainer: the trainer, which is asked whether it has finished.
    """

    def __init__(self, viewer: Watched, screen: Surface, trainer: PyNeRFTrainer):
        self.viewer, self.screen, self.trainer = viewer, screen, trainer
        self.figures = viewer.figures = TrainingFigures(trainer.config.max_steps)
        self._left_at: float | None = None  # when training resumed
        self._looked_at = float("-inf")

    def __call__(self, trainer: PyNeRFTrainer, figures: dict) -> None:
        """Called after a step: draw as much as is due."""
        viewer, screen = self.viewer, self.screen
        now = time.perf_counter()
        if self._left_at is not None:
            viewer.share.trained(now - self._left_at)
        self.figures.note(figures)
        viewer.model_changed(training=True)
        if screen.open:
            if screen.hidden or not viewer.drawing:
                self._look_seldom(now)
            else:
                self._draw_what_is_due()
            if viewer.paused:
                self._hold()
        self._left_at = time.perf_counter()

    def finish(self) -> None:
        """Called after the training: show the model until the window is closed."""
        self.figures.finished = True
        if self.trainer.stop_requested:
            self.screen.close()
        else:
            print(f"training is done; {self.screen.how_to_close} to continue")
            view_until_closed(self.viewer, self.screen)

    def _round(self, seconds: float) -> None:
        started = time.perf_counter()
        self.viewer.round(self.screen, seconds)
        self.viewer.share.drew(time.perf_counter() - started)

    def _draw_what_is_due(self) -> None:
        viewer, screen = self.viewer, self.screen
        while viewer.share.drawing_due > 0.0 and screen.open and not screen.hidden:
            self._round(min(viewer.share.drawing_due, ROUND_SECONDS) - _SHOW_SECONDS)
            if not viewer.drawing or viewer.at_rest:
                viewer.share.settle()

    def _look_seldom(self, now: float) -> None:
        """Handle input only, so that drawing can be switched on again."""
        if now - self._looked_at >= _QUIET_SECONDS:
            self._looked_at = now
            self._round(0.0)

    def _hold(self) -> None:
        """Refine the picture while training is paused."""
        viewer, screen = self.viewer, self.screen
        viewer.training_rests()
        while viewer.paused and screen.open and not self.trainer.stop_requested:
            if not viewer.round(screen, ROUND_SECONDS):
                time.sleep(_REST_SECONDS)
        viewer.share.restart()


def view_until_closed(viewer: Watched, screen: Surface) -> None:
    """Show a model that does not change until the screen is closed or Ctrl-C is pressed."""
    viewer.training_rests()
    try:
        while screen.open:
            if not viewer.round(screen, ROUND_SECONDS):
                time.sleep(_REST_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        screen.close()
