"""The figures of training steps, read from a device without waiting.

Reading a number from a device waits until the device has computed it. If the model is on the
processor, its numbers are there at once. Otherwise a step's figures are read while the next step is
under way.

Steps with NaN or infinity are found here too, and a training whose steps learn nothing is stopped.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from taichi_pynerf.data.drawing.batch import Batch
from taichi_pynerf.errors import Notice, TrainingError
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.model.renders import TrainingRender
from taichi_pynerf.runs.finite import first_fault, tensors_in
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
    suspects: Mapping[str, Any]

    def complete(self, workers: Workers) -> tuple[dict[str, Any], str | None]:
        """All figures, and the fault in words if the loss is not finite."""
        values = dict(zip(self.names, self.scalars.tolist(), strict=True))
        values = {name: self.part * value for name, value in values.items()}
        values = workers.sum({**values, "num_samples": self.known["num_samples"]})
        known = {**self.known, "num_samples": int(values.pop("num_samples"))}
        fault = _fault_of_loss(values, self.suspects)
        psnr = -10 * math.log10(max(values.pop("square_error"), 1e-10))
        step = known.pop("step")
        losses = {name.removeprefix("total_"): value for name, value in values.items()}
        return {"step": step, **losses, "psnr": psnr, **known}, fault


def suspects_of(batch: Batch, rays: Rays, render: TrainingRender, learned: dict) -> dict[str, Any]:
    """The tensors that may be the cause of a loss that is not finite, in the order of suspicion."""
    cast = {"rays_o": rays.rays_o, "rays_d": rays.rays_d, "pixel_areas": rays.pixel_areas}
    pixels = {"rgb": batch.rgb, "weights": batch.weights, "acc": batch.acc, "depth": batch.depth}
    seen = {"sigmas": render.field.sigmas, "rgbs": render.field.rgbs, "weights": render.weights,
            "rgb": render.rgb, "acc": render.acc, "depth": render.depth}  # fmt: skip
    # Detached: the figures of a step may outlive its graph.
    parts = {name: {key: x.detach() for key, x in part.items()}
             for name, part in {"batch": pixels, "rays": cast, "render": seen}.items()}  # fmt: skip
    return {"batch": parts.pop("batch"), **learned, **parts}


def _fault_of_loss(losses: Mapping[str, float], suspects: Mapping[str, Any]) -> str | None:
    """The cause of a loss that is not finite, in words; None if the loss is finite."""
    if math.isfinite(losses["total_loss"]):
        return None
    suspects = {
        name: part.state_dict() if isinstance(part, nn.Module) else part
        for name, part in suspects.items()
    }
    if "batch" in suspects:  # NaN stands for an unknown depth
        depth = suspects["batch"]["depth"].nan_to_num(0.0, math.inf, -math.inf)
        suspects["batch"] = {**suspects["batch"], "depth": depth}
    terms = [
        f"{name} is {value}"
        for name, value in losses.items()
        if name not in ("total_loss", "square_error") and not math.isfinite(value)
    ]
    cause = first_fault(tensors_in(suspects)) or next(iter(terms), "")
    return f"the loss is {losses['total_loss']}" + (f" ({cause})" if cause else "")


class StepFigures:
    """Takes each step's figures, and returns the newest that are known.

    Args:
        device: the model's device.
        workers: the processes that train together. Figures of several are added up at once.
        bad_steps: counts the steps that are left out. To leave out any, figures are waited for.

    Attributes:
        late: whether figures are those of the step before.
        num_samples: samples of the last step, of all processes.
        fault: why the last step's loss is not finite, in words; None if it is, or not known yet.
    """

    def __init__(self, device: torch.device, workers: Workers, bad_steps: BadSteps):
        self._workers, self._bad_steps = workers, bad_steps
        self.late = device.type != "cpu" and workers.count == 1 and bad_steps.most == 0
        self.fault: str | None = None
        self._last: _Noted | None = None
        self._complete: dict[str, Any] | None = None  # the last step's
        self.num_samples = 0

    def note(
        self,
        losses: Mapping[str, torch.Tensor],
        square_error: torch.Tensor,
        part: float,
        known: dict[str, Any],
        suspects: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Take a step's figures.

        Args:
            losses: scalars by name, "total_loss" among them.
            square_error: mean square error of the colours, a scalar.
            part: this process's share of the batch, over which they are means.
            known: other figures of this process: the step's number as "step", "num_samples", ….
            suspects: see `suspects_of`.

        Returns:
            The newest figures that are known: this step's, or if `late`, those of the step before;
            after the first step its own.

        Raises:
            TrainingError: if `late`, the loss of the step before is not finite.
        """
        scalars = [*losses.values(), square_error]
        values = torch.stack([torch.as_tensor(x, device=square_error.device) for x in scalars])
        before, self._complete = self._last, None
        names = (*losses, "square_error")
        self._last = _Noted(names, Reading(values.detach()), part, known, suspects)
        if self.late and before is not None:
            self.num_samples = known["num_samples"]
            return self._checked(before)
        found = self.settle()
        self.num_samples = found["num_samples"]
        return found

    def settle(self) -> dict[str, Any]:
        """The last step's figures, after waiting for them; empty before the first step.

        Raises:
            TrainingError: as `note` does.
        """
        if self._last is None:
            return {}
        if self._complete is None:
            self._complete = self._checked(self._last)
        return self._complete

    def _checked(self, noted: _Noted) -> dict[str, Any]:
        figures, self.fault = noted.complete(self._workers)
        if self.late and self.fault is not None:
            self._bad_steps.leave_out(figures["step"] - 1, self.fault)
        return figures


class BadSteps:
    """Counts the steps that are left out because a number in them is not finite.

    Args:
        most: greatest number of such steps; one more ends the training.
    """

    def __init__(self, most: int) -> None:
        self.most, self.num_left_out = most, 0

    def leave_out(self, step: int, fault: str, learned: Iterable[nn.Module] = ()) -> None:
        """Take one more such step into account, with a warning, and drop its gradients.

        Args:
            step: number of the step.
            fault: the number that is not finite, in words.
            learned: what has the gradients, those of the tables too.

        Raises:
            TrainingError: `most` steps were left out before.
        """
        for module in learned:
            module.zero_grad(set_to_none=True)
        if self.num_left_out == self.most:
            others = f", and {self.most} such steps were left out" if self.most else ""
            raise TrainingError(
                f"{fault} at step {step}{others}: lower --learning_rate, try --gradient_clip 1, or "
                f"leave such steps out with --skip_bad_steps {10 * max(self.most, 1)}"
            )
        self.num_left_out += 1
        warnings.warn(
            Notice(f"{fault} at step {step}: step left out ({self.num_left_out} of {self.most})"),
            stacklevel=2,
        )


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
