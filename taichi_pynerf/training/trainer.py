"""Training: one loop, which other ways of training are made from."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.errors import CheckpointError
from taichi_pynerf.evaluation.exif_exposure import ExposureResponse
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.samples import draws_per_ray
from taichi_pynerf.runs.checkpoint import FILE_NAME, save_pyramid_model
from taichi_pynerf.runs.finite import check_before_saving, fault_of_gradients, fault_of_training
from taichi_pynerf.runtime.transfer import to_device, wait_for
from taichi_pynerf.training.carving import possible_cells
from taichi_pynerf.training.color_correction import LEARNING_RATE as COLOR_LEARNING_RATE
from taichi_pynerf.training.color_correction import ColorCorrection, within_range
from taichi_pynerf.training.distributed import Workers
from taichi_pynerf.training.log import TrainingLog, bar_text
from taichi_pynerf.training.losses import PyNeRFLoss, loss_inputs
from taichi_pynerf.training.optimization.averaging import WeightAverage
from taichi_pynerf.training.optimization.optimizers import (
    build_optimizers,
    load_moments,
    network_parameters,
)
from taichi_pynerf.training.optimization.schedules import (
    MAX_RAYS_PER_STEP,
    learning_rate_factor,
    next_num_rays,
    sighted_rays,
)
from taichi_pynerf.training.pose_refinement import PoseRefinement
from taichi_pynerf.training.scene_fit import check_fitted
from taichi_pynerf.training.step_figures import BadSteps, EmptySteps, StepFigures, suspects_of
from taichi_pynerf.training.validation import validate

LOG_INTERVAL = 20  # steps between lines of the log
# Warm-ups of the field that pose corrections wait for. Before that their gradients are noise, and
# Adam would take steps of full length on it.
POSE_WAIT = 2


class PyNeRFTrainer:
    """Trains a model on a dataset.

    Args:
        model: the model.
        config: settings of the training; by default the model's.
        train_dataset: draws random pixels.
        val_dataset: validated every `config.val_interval` steps, if given.
        loss: a module `(outputs, targets) -> {"total_loss": …, …}`; see `PyNeRFLoss`, the default.
        output_dir: gets `log.jsonl` and checkpoints; nothing is written if None.
        scene: the description of the data, in plain values, for the checkpoint.
        progress: show a progress bar.
        tensorboard: log to TensorBoard too; None: if it is installed.
        workers: the processes that train together; by default this one alone. Only the first one
            validates, writes files and shows progress.

    Example:
        >>> trainer = PyNeRFTrainer(model=model, config=config, train_dataset=dataset)
        >>> trainer.train()
    """

    def __init__(
        self,
        model: PyNeRF,
        config: PyNeRFConfig | None = None,
        train_dataset: Dataset | None = None,
        val_dataset: Dataset | None = None,
        loss: nn.Module | None = None,
        output_dir: str | Path | None = None,
        scene: dict | None = None,
        progress: bool = True,
        tensorboard: bool | None = False,
        workers: Workers | None = None,
    ):
        if train_dataset is None:
            raise ValueError("train_dataset is needed")
        self.workers = workers or Workers()
        if not self.workers.first:
            val_dataset, output_dir, progress, tensorboard = None, None, False, False
        self.model = model
        self.config = config = config or model.config
        check_fitted(config)
        self.train_dataset, self.val_dataset = train_dataset, val_dataset
        self.loss = loss or PyNeRFLoss(config)
        self.output_dir = None if output_dir is None else Path(output_dir)
        if self.output_dir is not None:
            self.output_dir.mkdir(parents=True, exist_ok=True)
        self.scene, self.progress = scene, progress
        self.log = TrainingLog(self.output_dir, tensorboard)
        self.optimizers = build_optimizers(model, config.learning_rate)
        self.poses: PoseRefinement | None = None  # of the training cameras
        if config.pose_learning_rate > 0:
            self.poses = PoseRefinement(train_dataset.cameras, model.renderer.box.size)
            self.poses.to(model.device)
            self.optimizers["poses"] = torch.optim.Adam(self.poses.parameters())
        self.colors: ColorCorrection | None = None  # of the training images
        if config.color_correction == "affine":
            self.colors = ColorCorrection(train_dataset.names).to(model.device)
            self.optimizers["colors"] = torch.optim.Adam(self.colors.parameters())
        learned = {"model": model, "poses": self.poses, "colors": self.colors}
        self.learned = {name: part for name, part in learned.items() if part is not None}
        self.average = WeightAverage(self.learned.values(), config.average_weights)
        train_dataset.draw_on(model.device, config.data_device)
        # Which pixels are drawn is the CPU's choice; jitter and grid cells are the device's.
        self.pixel_generator = torch.Generator().manual_seed(config.seed)
        self.generator = torch.Generator(model.device).manual_seed(config.seed)
        self.bad_steps = BadSteps(config.skip_bad_steps)
        self.figures = StepFigures(model.device, self.workers, self.bad_steps)
        self.step = 0
        self.num_rays = config.batch_size
        self.train_seconds = 0.0
        self.num_samples = 0  # samples trained on so far
        self.stop_requested = self._stop_agreed = False  # in this process, and in all of them
        self._empty_steps = EmptySteps()
        self._val_psnr: float | None = None  # of the last validation

    # ---- the loop -------------------------------------------------------------------------

    def train(self, on_step: Callable[["PyNeRFTrainer", dict], None] | None = None) -> dict:
        """Train until `max_steps`, `max_seconds`, or a request to stop.

        Args:
            on_step: called after each step with the trainer and the step's figures.

        Returns:
            The last step's figures: "loss", "psnr", "samples_per_second", …

        Raises:
            TrainingError: a loss or gradient is not finite, or no ray meets anything.
        """
        figures: dict = {}
        self.workers.copy_from_first(self.model)
        if self.step == 0 and self.config.sampler == "occupancy":
            self.model.occupancy.restrict(
                possible_cells(
                    self.train_dataset,
                    self.model.renderer.box,
                    self.config.occupancy_resolution,
                    use_alpha=self.config.carve and self.poses is None,
                )
            )
        bar = tqdm(
            initial=self.step, total=self.config.max_steps, desc="train", unit="step",
            disable=not self.progress, mininterval=0.5,
        )  # fmt: skip
        saved = time.monotonic()
        with bar, contextlib.closing(self.log):
            while not self.finished():
                started = time.perf_counter()
                figures = self.train_step()
                if on_step is not None or self.step % LOG_INTERVAL == 0:
                    wait_for(self.model.device)  # else what comes next would wait, uncounted
                self.train_seconds, stop = self.workers.agree(
                    self.train_seconds + time.perf_counter() - started, self.stop_requested
                )
                if stop:  # otherwise a request that came meanwhile is kept
                    self.stop_requested = self._stop_agreed = True
                if self.step % LOG_INTERVAL == 0 or self.finished():
                    figures = self.figures.settle()
                figures["samples_per_second"] = self.num_samples / self.train_seconds
                figures["train_seconds"] = self.train_seconds
                bar.total = round(self.step / self.progress_made())  # an estimate, if timed
                bar.update(1)
                bar.set_postfix_str(bar_text(figures, self._val_psnr), refresh=False)
                if self.step % LOG_INTERVAL == 0:
                    self.log.write(figures)
                if self._validation_due():
                    self.log.write(self.validate())
                if self.workers.any(self._checkpoint_due(time.monotonic() - saved)):
                    self.workers.merge_trained_levels(self.model)
                    if self.output_dir is not None:
                        self.figures.settle()  # a loss that is not finite is known before
                        self.save()
                    saved = time.monotonic()
                if on_step is not None:
                    on_step(self, figures)
        self.workers.merge_trained_levels(self.model)
        self.average.finish(self.progress_made())
        return figures

    def train_step(self) -> dict:
        """One step: draw pixels, render them, compare, step the optimizers.

        Returns:
            Its figures; on another device than the CPU those of the step before (`StepFigures`).
        """
        config = self.config
        self.model.train()
        self.before_step()
        if config.sampler == "occupancy" and self.step % config.occupancy_interval == 0:
            self.workers.merge_trained_levels(self.model)
            self.model.renderer.update_occupancy(self.generator)
        factor = learning_rate_factor(
            self.step, self.progress_made(), config.warmup_steps, config.final_learning_rate
        )
        learning_rate = config.learning_rate * factor
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self._peak_learning_rate(name) * factor
        background = self._background()
        num_sighted = self._num_sighted()
        batch = self.train_dataset.sample(
            self.num_rays, self.pixel_generator, background, num_sighted, config.contrast_share
        )
        share = self.workers.share(self.num_rays)
        if self.workers.count > 1:
            batch = batch[share]
            background = background[share] if background.dim() == 2 else background
        rays = batch.rays if self.poses is None else self.poses(batch.rays, batch.view_indices)
        when = self.progress_made(), self.step
        with self.workers.own_draws(self.generator, self.num_rays, draws_per_ray(config)):
            render = self.model.renderer.train_rays(rays, self.generator, *when)
        if self.colors is not None:
            rgb = self.colors(render.rgb, render.acc, batch.view_indices)
            render = dataclasses.replace(render, rgb=within_range(rgb, batch.rgb))
        outputs = loss_inputs(self.model, render, background, self.progress_made())
        names = ("rgb", "weights", "depth", "acc", *(("sparse_depth",) if num_sighted else ()))
        losses = self.loss(outputs, {name: getattr(batch, name) for name in names})
        if self.colors is not None:
            losses["total_loss"] = losses["total_loss"] + self.colors.penalty()
        part = len(rays) / self.num_rays  # of the batch: 1 if this process is alone
        known = {
            "step": self.step + 1,
            "learning_rate": learning_rate,
            "num_rays": self.num_rays,
            "num_samples": render.levels.shape[0],
        }
        squares = (outputs["rgb"].detach() - batch.rgb).square().mean(-1)
        square_error = (batch.weights * squares).mean()
        learned = {} if self.figures.late else self.learned  # later all of it may be NaN
        suspects = suspects_of(batch, rays, render, learned)
        figures = self.figures.note(losses, square_error, part, known, suspects)
        num_samples, fault = self.figures.num_samples, self.figures.fault
        if num_samples and fault is None:  # without samples there is nothing to learn from
            if render.levels.shape[0]:
                (part * losses["total_loss"]).backward()
            self.workers.add_gradients(
                p for opt in self.optimizers.values() for p in opt.param_groups[0]["params"]
            )
            if not self.figures.late:  # else the next step's loss tells
                fault = fault_of_gradients(self.learned)
            if config.gradient_clip > 0:
                nn.utils.clip_grad_norm_(network_parameters(self.model), config.gradient_clip)
            for name, optimizer in self.optimizers.items():
                due = name != "poses" or self.step >= POSE_WAIT * config.warmup_steps
                if due and fault is None:
                    optimizer.step()
            for name, optimizer in self.optimizers.items():
                if name != "tables":  # its own step leaves zeros
                    optimizer.zero_grad(set_to_none=True)
        if fault is not None:
            self.bad_steps.leave_out(self.step, fault, self.learned.values())

        self.step += 1
        self.num_samples += num_samples
        self._empty_steps.count(num_samples, self.step)
        num_rays = next_num_rays(self.num_rays, num_samples, config.samples_per_batch)
        self.num_rays = max(num_rays, self.workers.count)
        self.average.note(self.step, self.progress_made())
        return figures

    def before_step(self) -> None:
        """A hook before each step, for subclasses. Does nothing here."""

    def finished(self) -> bool:
        """Whether the training has come to its end or was asked to stop."""
        # None of several processes may leave the loop alone: the others would wait for it.
        stop = self.stop_requested if self.workers.count == 1 else self._stop_agreed
        return stop or self.progress_made() >= 1

    def progress_made(self) -> float:
        """Share of the training done: of its steps, or of its seconds if these run out first."""
        progress = self.step / self.config.max_steps
        if self.config.max_seconds > 0:
            progress = max(progress, self.train_seconds / self.config.max_seconds)
        return min(progress, 1.0)

    def request_stop(self) -> None:
        """Let `train` return after the current step."""
        self.stop_requested = True

    # ---- validation, log, checkpoint ------------------------------------------------------

    def validate(self, num_images: int = 2) -> dict:
        """PSNR on a few validation images of each scale; see `training.validation.validate`."""
        if self.val_dataset is None:
            raise ValueError("the trainer has no val_dataset to validate on")
        found = validate(self.model, self.val_dataset, self.step, self.log, num_images)
        self._val_psnr = found["psnr"]
        return {"step": self.step, "val": found}

    def save(self) -> Path:
        """Write `checkpoint.pth`, if all numbers are finite; else an earlier one stays, and a
        TrainingError names the first that is not."""
        if self.output_dir is None:
            raise ValueError("the trainer has no output_dir to save to")
        path, state = self.output_dir / FILE_NAME, self.state_dict()
        check_before_saving(path, self.model, state)
        return save_pyramid_model(self.model, self.config, path, state, self.scene)

    def state_dict(self) -> dict:
        """All that the next step depends on, besides the model: tensors and plain values.

        `exposure_response` is for rendering: how colours follow the exposures by EXIF.
        """
        response, _ = self.exposure_response()
        return {
            "step": self.step,
            "num_rays": self.num_rays,
            "num_samples": self.num_samples,
            "train_seconds": self.train_seconds,
            "bad_steps": self.bad_steps.num_left_out,
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
            "poses": None if self.poses is None else self.poses.state_dict(),
            "colors": None if self.colors is None else self.colors.state_dict(),
            "average": self.average.state_dict(),
            "exposure_response": None if response is None else response.to_dict(),
            "pixel_generator": self.pixel_generator.get_state(),
            "generator": self.generator.get_state(),
        }

    def exposure_response(self) -> tuple[ExposureResponse | None, str]:
        """How colours follow the exposures by EXIF, if they do; and why, in words."""
        if self.colors is None:
            return None, "colours are not corrected"
        return self.colors.response(self.train_dataset.exposures)

    def load_state_dict(self, state: Any) -> None:
        """The inverse of `state_dict`.

        Raises:
            CheckpointError: this is no such state, or it does not fit the model.
        """
        if not isinstance(state, dict) or "optimizers" not in state:
            raise CheckpointError(
                "the checkpoint cannot be resumed: it holds no training to go on with"
            )
        try:
            for name, optimizer in self.optimizers.items():
                load_moments(optimizer, state["optimizers"][name])
            if self.poses is not None:
                self.poses.load_state_dict(state["poses"])
            if self.colors is not None:
                self.colors.load_state_dict(state["colors"])
            self.average.load_state_dict(state.get("average"))
            self.pixel_generator.set_state(state["pixel_generator"])
            self.step, self.num_rays = int(state["step"]), int(state["num_rays"])
            self.num_samples = int(state["num_samples"])
            self.train_seconds = float(state["train_seconds"])
            self.bad_steps.num_left_out = int(state.get("bad_steps", 0))
            counts = (self.step, self.num_samples, self.train_seconds, self.num_rays - 1,
                      self.bad_steps.num_left_out)  # fmt: skip
            most_rays = max(self.config.batch_size, MAX_RAYS_PER_STEP)
            if not all(0 <= count < 2**53 for count in counts) or self.num_rays > most_rays:
                raise ValueError("its numbers of steps, rays and seconds are impossible")
            self.workers.resume_draws(
                self.generator, state["generator"], self.config.seed + self.step
            )
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise CheckpointError(f"the checkpoint cannot be resumed: {error!r}") from None
        if (fault := fault_of_training(self.model, self.state_dict())) is not None:
            raise CheckpointError(f"the checkpoint cannot be resumed: {fault}")

    # ---- small parts ----------------------------------------------------------------------

    def _peak_learning_rate(self, name: str) -> float:
        """An optimizer's learning rate, before warm-up and decay."""
        own = {"poses": self.config.pose_learning_rate, "colors": COLOR_LEARNING_RATE}
        return own.get(name, self.config.learning_rate)

    def _num_sighted(self) -> int:
        if self.train_dataset.sightings is None or not self.config.sparse_depth_weight:
            return 0
        return sighted_rays(self.num_rays, self.config.sparse_depth_share, self.progress_made())

    def _background(self) -> torch.Tensor:
        if self.config.background == "random":
            colors = torch.rand(self.num_rays, 3, generator=self.pixel_generator)
            return to_device(colors, self.model.device)
        return torch.full((3,), float(self.config.background == "white"), device=self.model.device)

    def _validation_due(self) -> bool:
        interval = self.config.val_interval
        due = self.val_dataset is not None and interval > 0 and self.step % interval == 0
        return due and not self.finished()

    def _checkpoint_due(self, seconds: float) -> bool:
        interval = self.config.checkpoint_interval
        return self.output_dir is not None and 0 < interval <= seconds and not self.finished()
