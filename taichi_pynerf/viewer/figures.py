"""The figures of a training that the panel shows: loss, PSNR, speed."""

from __future__ import annotations

from dataclasses import dataclass, field

from taichi_pynerf.config import UNLIMITED_STEPS
from taichi_pynerf.viewer.chart import Curve


@dataclass
class TrainingFigures:
    """The latest figures and the curves of a training.

    Attributes:
        max_steps: greatest number of steps.
        first_step: the first of this training that was noted; a resumed one begins later than 1.
        step, loss, psnr, samples_per_second: those of the last step.
        losses, psnrs: their smoothed curves.
        finished: whether the training has ended.
    """

    max_steps: int
    first_step: int | None = None
    step: int = 0
    loss: float = float("nan")
    psnr: float = float("nan")
    samples_per_second: float = 0.0
    losses: Curve = field(default_factory=Curve)
    psnrs: Curve = field(default_factory=Curve)
    finished: bool = False

    @property
    def steps_in_words(self) -> str:
        """The step, and of how many if seconds are not the only limit."""
        limit = "" if self.max_steps >= UNLIMITED_STEPS else f" of {self.max_steps}"
        return f"step {self.step}{limit}"

    def note(self, figures: dict) -> None:
        """Take a step's figures as `PyNeRFTrainer.train` gives them."""
        self.step, self.loss, self.psnr = figures["step"], figures["loss"], figures["psnr"]
        self.samples_per_second = figures["samples_per_second"]
        if self.first_step is None:
            self.first_step = self.step
        self.losses.add(self.loss)
        self.psnrs.add(self.psnr)
