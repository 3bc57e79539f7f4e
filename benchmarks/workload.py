"""What is measured on: random points, and the rays and samples of a scene in training."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from benchmarks.harness import Options
from taichi_pynerf import PyNeRF, PyNeRFConfig, PyNeRFTrainer
from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.demo.scene import demo_scene_dir
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.model.renderer import PyramidRenderer
from taichi_pynerf.model.renders import TrainingRender
from taichi_pynerf.ops.hash_grid import HashGridSpec
from taichi_pynerf.runs.runs import open_run
from taichi_pynerf.runs.scene_source import SceneSource
from taichi_pynerf.training.scene_fit import fit_to_scene

import torch  # isort: skip  (after the package, which sets the thread policy)

STEPS = 300  # of training, after which the occupancy grid is much as it will be
GRIDS = {"16 levels x 2": (16, 2), "8 levels x 4": (8, 4)}
MAX_RESOLUTION, TABLE_SIZE = 2048, 2**19
_TINY_SCENE = {
    "resolution": 32, "num_train": 8, "num_val": 1, "num_test": 2, "samples_per_pixel": 4,
}  # fmt: skip
_TINY_MODEL = {
    "hash_table_size": 2**12, "occupancy_resolution": 32, "samples_per_batch": 1024,
    "batch_size": 128, "hidden_dim": 16,
}  # fmt: skip


def grid_spec(name: str, quick: bool = False) -> HashGridSpec:
    """One of `GRIDS`, with the resolutions of instant-ngp's rule from 16 to 2048."""
    num_levels, features = GRIDS[name]
    growth = (MAX_RESOLUTION / 16) ** (1 / (num_levels - 1))
    resolutions = tuple(int(16 * growth**l + 1e-6) for l in range(num_levels))
    return HashGridSpec(resolutions, features, 2**12 if quick else TABLE_SIZE)


@dataclass(frozen=True)
class Workload:
    """A model that has begun to learn a scene.

    Attributes:
        trainer: of the model, on the scene's training images.
        test: the scene's test images, or its validation images.
    """

    trainer: PyNeRFTrainer
    test: PyNeRFDataset

    @property
    def model(self) -> PyNeRF:
        return self.trainer.model

    def rays(self, num_rays: int, seed: int = 0) -> Rays:
        """Rays of random training pixels."""
        generator = torch.Generator().manual_seed(seed)
        batch = self.trainer.train_dataset.sample(num_rays, generator, torch.ones(3))
        return batch.rays.to(self.model.device)

    def renderer(self, **changes) -> PyramidRenderer:
        """The model's renderer with some settings changed."""
        model = self.model
        return PyramidRenderer(
            self.trainer.config.replace(**changes), model.field, model.occupancy,
            model.trained_levels, proposals=model.proposals,
        )  # fmt: skip

    @torch.no_grad()
    def samples(self, num_samples: int) -> tuple[Rays, TrainingRender]:
        """About so many samples, of as many rays as that takes; none is left out as hidden."""
        renderer, num_rays = self.renderer(cull_hidden=0.0, thin_below=0.0), 256
        generator = torch.Generator(self.model.device).manual_seed(0)
        found = max(renderer.train_rays(self.rays(num_rays), generator).levels.shape[0], 1)
        rays = self.rays(max(1, round(num_rays * num_samples / found)))
        return rays, renderer.train_rays(rays, generator)


@functools.lru_cache(maxsize=1)
def workload(options: Options) -> Workload:
    """The scene and the model that the options name; without a checkpoint, trained for a while."""
    if options.checkpoint is None:
        work, steps = untrained(options), options.size(STEPS, 4)
        work.trainer.train(
            on_step=lambda trainer, _: trainer.step >= steps and trainer.request_stop()
        )
        return work
    run = open_run(options.checkpoint, options.data_dir)
    source = replace(run.source, multiscale=False)
    config = run.config.replace(max_steps=10**6, max_seconds=0.0, val_interval=0)
    trainer = PyNeRFTrainer(run.model, config, source.load("train"), progress=False)
    for _ in range(8):  # the number of rays settles
        trainer.train_step()
    return Workload(trainer, test_images(source))


def untrained(options: Options, **changes) -> Workload:
    """The scene that the options name and a fresh model of the CPU's preset.

    All backends get this preset, so that their figures are of the same work.

    Args:
        changes: settings on top.
    """
    source = SceneSource(options.data_dir, img_downscale=options.img_downscale)
    if options.quick:
        changes = {**_TINY_MODEL, **changes}
        if options.data_dir is None:
            source = source.at(demo_scene_dir(progress=False, **_TINY_SCENE))
    train = source.load("train")
    changes = {"max_steps": 10**6, "val_interval": 0, **changes}
    config = PyNeRFConfig.preset("cpu", unbounded=train.unbounded, **changes)
    config = fit_to_scene(config, train)
    return Workload(
        PyNeRFTrainer(PyNeRF(config), config, train, progress=False), test_images(source)
    )


def test_images(source: SceneSource) -> PyNeRFDataset:
    """The scene's test images, or its validation images if it has none."""
    return source.load("test" if "test" in source.splits() else "val")
