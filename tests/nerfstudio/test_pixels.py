"""One seed gives one training: the plugin draws and learns the same as `apps/train.py`."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("nerfstudio.engine", reason="nerfstudio is not installed")

from nerfstudio.data.datamanagers.base_datamanager import variable_res_collate
from nerfstudio.data.pixel_samplers import PairPixelSamplerConfig, PixelSamplerConfig
from PIL import Image
from scene_makers import make_cameras
from studio_runs import studio_config

from taichi_pynerf.data.authoring.multiscale_writer import write_multiscale
from taichi_pynerf.data.datasets import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.nerfstudio.data import PyNeRFDataParserConfig
from taichi_pynerf.nerfstudio.pixels import ScenePixelSampler
from taichi_pynerf.nerfstudio.views import cameras_to_studio
from taichi_pynerf.training.trainer import PyNeRFTrainer

SEED = 3


@pytest.fixture(scope="module")
def veiled_folder(ball_folder, tmp_path_factory):
    """The ball, with pixels of every opacity."""
    folder = tmp_path_factory.mktemp("veiled") / "ball"
    shutil.copytree(ball_folder, folder)
    for i, path in enumerate(sorted(folder.rglob("*.png"))):
        rgba = np.array(Image.open(path))
        rgba[12:, :, 3] = np.random.default_rng(i).integers(0, 256, rgba[12:, :, 3].shape)
        Image.fromarray(rgba).save(path)
    return folder


def studio_trainer(folder, output_dir, change=lambda config: None, **settings):
    config = studio_config(folder, output_dir, "run", **settings)
    config.machine.seed = SEED
    change(config)
    trainer = config.setup()
    trainer.setup()
    return trainer


def batches(trainer, dataset, generator):
    """The next batch of both, as (ours, theirs, their rays)."""
    sampler = trainer.pipeline.datamanager.train_pixel_sampler
    num_rays, share = sampler.num_rays_per_batch, sampler.contrast_share
    assert share > 0
    background = torch.rand(num_rays, 3, generator=generator)
    ours = dataset.sample(num_rays, generator, background, contrast_share=share)
    rays, theirs = trainer.pipeline.datamanager.next_train(0)
    assert torch.equal(rays.metadata["background"], background)
    return ours, theirs, rays


def assert_same_batch(model, ours, theirs, rays):
    assert torch.equal(theirs["indices"][:, 0], ours.view_indices)
    assert torch.equal(theirs["weights"], ours.weights)
    assert torch.equal(rays.origins, ours.rays.rays_o)
    assert torch.equal(rays.directions, ours.rays.rays_d)
    assert torch.equal(rays.pixel_area[:, 0], ours.rays.pixel_areas)
    background = {"background": rays.metadata["background"]}
    assert torch.equal(model.target(background, theirs["image"]), ours.rgb)


def test_batches_are_the_same(veiled_folder, tmp_path):
    trainer = studio_trainer(veiled_folder, tmp_path)
    dataset = PyNeRFDataset(veiled_folder)
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(3):
        assert_same_batch(trainer.pipeline.model, *batches(trainer, dataset, generator))


def test_batches_of_a_multi_scale_folder_are_the_same(veiled_folder, tmp_path):
    folder = tmp_path / "scales"
    write_multiscale(veiled_folder, folder)

    def read_here(config):
        config.pipeline.datamanager.dataparser = PyNeRFDataParserConfig()

    trainer = studio_trainer(folder, tmp_path, read_here)
    dataset, generator = MultiScaleDataset(folder), torch.Generator().manual_seed(SEED)
    for _ in range(2):
        ours, theirs, rays = batches(trainer, dataset, generator)
        assert_same_batch(trainer.pipeline.model, ours, theirs, rays)
        assert len(dataset.scales[ours.view_indices].unique()) == 4
        assert torch.equal(rays.metadata["far"], ours.rays.bounds[:, 1:])


@pytest.mark.parametrize("opacity_loss_weight", [0.0, 0.5])
def test_losses_are_the_same(veiled_folder, tmp_path, opacity_loss_weight):
    trainer = studio_trainer(veiled_folder, tmp_path, opacity_loss_weight=opacity_loss_weight)
    config = trainer.pipeline.model.pynerf.config
    config = config.replace(max_steps=trainer.config.max_num_iterations)
    app = PyNeRFTrainer(PyNeRF(config), config, PyNeRFDataset(veiled_folder), progress=False)
    losses, expected = [], []

    def note(app, figures):
        expected.append((figures["loss"], figures["num_rays"]))
        if len(expected) == 12:
            app.request_stop()

    app.train(note)
    for step in range(12):
        trainer.pipeline.train()
        for callback in trainer.callbacks:
            callback.run_callback_at_location(step, callback.where_to_run[0])
        loss, _, metrics = trainer.train_iteration(step)
        losses.append((float(loss), metrics["num_rays"]))
    assert expected[-1][0] < 0.9 * expected[0][0]
    for found, wanted in zip(losses, expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-4)


def test_masked_images_of_several_sizes_in_any_order():
    sizes, order = [(4, 6), (8, 4), (5, 5)], [2, 0, 1]
    cameras = make_cameras(3)
    cameras.height[:], cameras.width[:] = (torch.tensor(side) for side in zip(*sizes, strict=True))
    frames, generator = [], torch.Generator().manual_seed(0)
    for i, (height, width) in enumerate(sizes):
        mask = torch.rand(height, width, 1, generator=generator) < 0.5
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        image = torch.stack([torch.full_like(rows, i), rows, columns], -1) / 255
        frames.append({"image_idx": i, "image": image, "mask": mask})
    kept = torch.cat([frame["mask"].flatten() for frame in frames])
    dataset = SimpleNamespace(cameras=cameras_to_studio(cameras), metadata={})
    drawn = []
    for places in (order, order[:2], [0, 1, 2]):
        sampler = ScenePixelSampler(
            PixelSamplerConfig(), dataset, 501, torch.Generator().manual_seed(1)
        )
        batch = sampler.sample(variable_res_collate([dict(frames[i]) for i in places]))
        assert torch.equal((batch["image"] * 255).round().long(), batch["indices"])
        assert batch["mask"].all()
        assert set(batch["indices"][:, 0].tolist()) == set(places)
        drawn.append(batch["indices"])
    assert torch.equal(drawn[0], drawn[2])
    assert len(drawn[0].unique(dim=0)) == kept.sum()


def test_another_sampler_can_be_chosen(ball_folder, tmp_path):
    def choose(config):
        config.pipeline.datamanager.pixel_sampler = PairPixelSamplerConfig()

    trainer = studio_trainer(ball_folder, tmp_path, choose)
    assert not isinstance(trainer.pipeline.datamanager.train_pixel_sampler, ScenePixelSampler)
    loss, _, _ = trainer.train_iteration(0)
    assert torch.isfinite(loss)
