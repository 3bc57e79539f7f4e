"""The figures of training steps: on a device nobody waits for them.

To read a number is to wait until the device has come to it. Where the model is on the processor its
numbers are there. Elsewhere a step's figures are read when the next step is under way.

A training whose steps learn nothing is stopped here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from taichi_pynerf.errors import TrainingError
from taichi_pynerf.runtime.transfer import Reading
from taichi_pynerf.training.distributed import Workers

MOST_EMPTY_STEPS = 100  # steps in a row without a single sample that end a training


@dataclass(frozen=True, eq=False)
class _Noted:
    """A step's figures: scalars by `names`, means over the share `part` of a batch; and `known`."""

    names: tuple[str, ...]
    scalars: Reading
    part: float
    known: dict[str, Any]

    def complete(self, workers: Workers) -> dict[str, Any]:
        """All figures. Raises TrainingError where a loss is not finite."""
        values = dict(zip(self.names, self.scalars.tolist(), strict=True))
        values = {name: self.part * value for name, value in values.items()}
        values = workers.sum({**values, "num_samples": self.known["num_samples"]})
        known = {**self.known, "num_samples": int(values.pop("num_samples"))}
        if not math.isfinite(values["total_loss"]):
            raise TrainingError(
                f"the loss is {values['total_loss']} at step {known['step'] - 1}: lower "
                "--learning_rate, or try --set gradient_clip=1"
            )
        psnr = -10 * math.log10(max(values.pop("square_error"), 1e-10))
        step = known.pop("step")
        losses = {name.removeprefix("total_"): value for name, value in values.items()}
        return {"step": step, **losses, "psnr": psnr, **known}


class StepFigures:
    """Takes each step's figures, and gives the newest that are there.

    Args:
        device: where the model is.
        workers: the processes that train together. Those of several are added up at once.

    Attributes:
        num_samples: samples of the last step, those of all processes.
    """

    def __init__(self, device: torch.device, workers: Workers):
        self._workers = workers
        self._late = device.type != "cpu" and workers.count == 1
        self._last: _Noted | None = None
        self._complete: dict[str, Any] | None = None  # the last step's
        self.num_samples = 0

    def note(
        self,
        losses: Mapping[str, torch.Tensor],
        square_error: torch.Tensor,
        part: float,
        known: dict[str, Any],
    ) -> dict[str, Any]:
        """Take a step's figures.

        Args:
            losses: scalars by name, "total_loss" among them.
            square_error: mean square error of the colours, a scalar.
            part: this process's share of the batch, over which they are means.
            known: what else the figures hold: the step's number as "step", and "num_samples", of
                this process.

        Returns:
            The newest figures that are there: this step's, or on a device those of the step before;
            after the first step its own.

        Raises:
            TrainingError: a loss is not finite.
        """
        scalars = [*losses.values(), square_error]
        values = torch.stack([torch.as_tensor(x, device=square_error.device) for x in scalars])
        before, self._complete = self._last, None
        self._last = _Noted((*losses, "square_error"), Reading(values.detach()), part, known)
        if self._late and before is not None:
            self.num_samples = known["num_samples"]
            return before.complete(self._workers)
        found = self.settle()
        self.num_samples = found["num_samples"]
        return found

    def settle(self) -> dict[str, Any]:
        """The last step's figures, waited for; none before the first step.

        Raises:
            TrainingError: as `note` does.
        """
        if self._last is None:
            return {}
        if self._complete is None:
            self._complete = self._last.complete(self._workers)
        return self._complete


class EmptySteps:
    """Counts the steps in a row in which no ray met anything."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def count(self, num_samples: int, step: int) -> None:
        """Take one more step into account.

        Args:
            num_samples: samples of the step, of all workers together.
            step: number of the step, for the message.

        Raises:
            TrainingError: there have been `MOST_EMPTY_STEPS` empty ones in a row.
        """
        self._in_a_row = 0 if num_samples else self._in_a_row + 1
        if self._in_a_row >= MOST_EMPTY_STEPS:
            raise TrainingError(
                f"no ray has met anything for {MOST_EMPTY_STEPS} steps, up to step {step}: the "
                "cameras do not look into the scene box (pynerf-inspect draws both; --aabb and "
                "--scene_scale change it), or the field is empty (lower --learning_rate)"
            )
