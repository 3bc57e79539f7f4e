"""Training of the model by nerfstudio: optimizers, learning rate, number of rays per step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.pixel_samplers import PixelSamplerConfig
from nerfstudio.engine.optimizers import OptimizerConfig, Optimizers
from nerfstudio.engine.schedulers import Scheduler, SchedulerConfig
from nerfstudio.engine.trainer import Trainer
from nerfstudio.pipelines.base_pipeline import VanillaPipeline
from nerfstudio.utils import comms
from torch.optim.lr_scheduler import LambdaLR

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.nerfstudio.data import source_of
from taichi_pynerf.nerfstudio.pixels import ScenePixelSampler, SceneRayGenerator
from taichi_pynerf.nerfstudio.views import has_lenses
from taichi_pynerf.training.optimization.optimizers import BETAS, EPS, TableRMSProp
from taichi_pynerf.training.optimization.schedules import learning_rate_factor, next_num_rays


@dataclass
class TableRMSPropConfig(OptimizerConfig):
    """RMSProp that steps only the table rows that have a gradient."""

    _target: type = field(default_factory=lambda: TableRMSProp)
    eps: float = EPS
    beta: float = BETAS[1]
    """Decay of the mean square."""


@dataclass
class NetworkAdamConfig(OptimizerConfig):
    """Adam with instant-ngp's settings."""

    _target: type = torch.optim.Adam
    eps: float = EPS
    betas: tuple[float, float] = BETAS
    """Decays of the mean and of the mean square."""
    fused: bool = True
    """One kernel for all parameters."""


@dataclass
class WarmupDecaySchedulerConfig(SchedulerConfig):
    """Linear warm-up, then exponential decay over the whole run."""

    _target: type = field(default_factory=lambda: WarmupDecayScheduler)
    warmup_steps: int = 50
    """Steps until the full rate."""
    final: float = 0.03
    """Share of the rate left at the end."""
    max_steps: int | None = None
    """Steps until the end; by default --max-num-iterations."""


class WarmupDecayScheduler(Scheduler):
    """See `taichi_pynerf.training.optimization.schedules.learning_rate_factor`.

    Its state holds only Python numbers, so that checkpoints load with `weights_only`.
    """

    config: WarmupDecaySchedulerConfig

    def get_scheduler(self, optimizer: torch.optim.Optimizer, lr_init: float) -> LambdaLR:
        if self.config.max_steps is None:
            raise ValueError("max_steps must be given outside of a training run")
        return LambdaLR(optimizer, rate_factor(self.config, self.config.max_steps))


def rate_factor(config: WarmupDecaySchedulerConfig, max_steps: int) -> Callable[[int], float]:
    """The learning rate's factor at each step of a run of `max_steps`."""
    return lambda step: learning_rate_factor(
        step, step / max_steps, config.warmup_steps, config.final
    )


def ends_with_run(scheduler: SchedulerConfig | None) -> bool:
    """Whether this schedule ends with the run, wherever that is."""
    return isinstance(scheduler, WarmupDecaySchedulerConfig) and scheduler.max_steps is None


class PyNeRFStudioTrainer(Trainer):
    """nerfstudio's trainer, with schedules that end with the run, and one seed.

    `--machine.seed` seeds the initial weights, the jitter and the pixels.
    """

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        model = self.config.pipeline.model
        model.pynerf = model.pynerf.replace(seed=self.config.machine.seed)
        super().setup(test_mode)

    def setup_optimizers(self) -> Optimizers:
        groups = {name: dict(group) for name, group in self.config.optimizers.items()}
        for group in groups.values():
            scheduler = group["scheduler"]
            if ends_with_run(scheduler):
                group["scheduler"] = replace(scheduler, max_steps=self.config.max_num_iterations)
        return Optimizers(groups, self.pipeline.get_param_groups())

    def _load_checkpoint(self) -> None:
        """Load it, and let the schedules end with the `max_num_iterations` steps that follow.

        Only then it is known how many of a schedule's steps went before.
        """
        super()._load_checkpoint()
        for name, schedule in self.optimizers.schedulers.items():
            config = self.config.optimizers[name]["scheduler"]
            if ends_with_run(config):
                done, groups = schedule.last_epoch, schedule.optimizer.param_groups
                factor = rate_factor(config, done + self.config.max_num_iterations)
                schedule.lr_lambdas = [factor] * len(groups)
                for group, rate in zip(groups, schedule.base_lrs, strict=True):
                    group["lr"] = rate * factor(done)  # the loaded one is for the former end


class PyNeRFDataManager(VanillaDataManager):
    """nerfstudio's data manager, with the training pixels and rays of `apps/train.py`.

    Training pixels keep their alpha, for random colours behind them. The manager gives the model
    the training images to be fitted to, and the background colour to be shown in evaluation.
    """

    train_dataset: InputDataset

    def __init__(self, *args: Any, **kwargs: Any):
        self.generator = torch.Generator()  # for training pixels and background colours
        self.random_background = False
        super().__init__(*args, **kwargs)

    def draw_as(self, config: PyNeRFConfig) -> None:
        """From now on draw what `apps/train.py` draws from its first step on.

        If several processes train together, each draws its own pixels.
        """
        self.generator.manual_seed(config.seed + comms.get_rank())
        self.random_background = config.background == "random"
        sampler = getattr(self, "train_pixel_sampler", None)  # none where nothing is trained
        if isinstance(sampler, ScenePixelSampler):
            sampler.contrast_share = config.contrast_share

    def create_train_dataset(self) -> InputDataset:
        dataset = super().create_train_dataset()
        dataset.metadata["training_images"] = dataset
        dataset.metadata["alpha_color"] = self.train_dataparser_outputs.alpha_color
        img_downscale = round(1 / self.config.camera_res_scale_factor)
        source = source_of(self.config.dataparser, img_downscale)
        dataset.metadata["scene"] = None if source is None else source.to_dict()
        return dataset

    def setup_train(self) -> None:
        """Keep alpha only for training pixels; images that nerfstudio shows have a background."""
        shown = self.train_dataset
        self.train_dataset = with_alpha(shown)
        super().setup_train()
        self.train_dataset = shown
        if self._as_here(shown):
            self.train_pixel_sampler = ScenePixelSampler(
                self.config.pixel_sampler,
                shown,
                self.config.train_num_rays_per_batch,
                self.generator,
            )
        if has_lenses(shown.cameras):
            self.train_ray_generator = SceneRayGenerator(shown.cameras.to(self.device))

    def _as_here(self, dataset: InputDataset) -> bool:
        """Whether this package has such cameras, and no other way of drawing was asked for."""
        return (
            has_lenses(dataset.cameras)
            and "fisheye_crop_radius" not in (dataset.cameras.metadata or {})
            and type(self.config.pixel_sampler) is PixelSamplerConfig
            and self.config.patch_size == 1
        )

    def next_train(self, step: int) -> tuple[RayBundle, dict]:
        """The rays of the next pixels, with background colours if these are random."""
        colors = None
        if self.random_background:  # `PyNeRFTrainer` draws them before the pixels, too
            num_rays = self.train_pixel_sampler.num_rays_per_batch
            colors = torch.rand(num_rays, 3, generator=self.generator)
        bundle, batch = super().next_train(step)
        if colors is not None:
            bundle.metadata["background"] = colors.to(bundle.origins.device)
        return bundle, batch


def with_alpha(dataset: InputDataset) -> InputDataset:
    """The same images, with the alpha channels that their files have."""
    other = copy.copy(dataset)
    other._dataparser_outputs = replace(dataset._dataparser_outputs, alpha_color=None)
    return other


class PyNeRFPipeline(VanillaPipeline):
    """nerfstudio's pipeline, with so many rays per step that give `samples_per_batch` samples."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.datamanager.draw_as(self.model.pynerf.config)

    def get_train_loss_dict(self, step: int) -> tuple[Any, dict, dict]:
        outputs, losses, metrics = super().get_train_loss_dict(step)
        sampler = self.datamanager.train_pixel_sampler
        metrics["num_rays"] = sampler.num_rays_per_batch
        num_rays = next_num_rays(
            sampler.num_rays_per_batch,
            outputs["num_samples"],
            self.model.pynerf.config.samples_per_batch,
        )
        if not isinstance(sampler, ScenePixelSampler):
            num_rays += num_rays % 2  # nerfstudio needs an even number if image sizes differ
        sampler.set_num_rays_per_batch(num_rays)
        return outputs, losses, metrics
