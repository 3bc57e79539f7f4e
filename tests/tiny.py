"""Tiny configurations, models, rays and scenes: small enough to train within a second."""

import numpy as np
import torch
from scene_makers import make_cameras
from torch.nn import functional

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.data.scene import Scene
from taichi_pynerf.geometry.rays import Rays, view_rays
from taichi_pynerf.model.field import PyramidField
from taichi_pynerf.model.model import PyNeRF

# Levels 4, 8 (dense) and 16, 32 (hashed).
_TINY = {
    "num_levels": 4,
    "base_resolution": 4,
    "max_resolution": 32,
    "hash_table_size": 2**11,
    "features_per_level": 2,
    "hidden_dim": 16,
    "geo_feature_dim": 7,
    "aabb": (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0),
    "occupancy_resolution": 16,
    "march_resolution": 64,
    "num_samples": 16,
    "num_importance": 16,
    "batch_size": 128,
    "max_steps": 60,
    "occupancy_interval": 4,
    "learning_rate": 5e-2,
    "final_learning_rate": 0.3,
    "warmup_steps": 5,
    "val_interval": 0,
}


def tiny_config(**overrides) -> PyNeRFConfig:
    return PyNeRFConfig(**{**_TINY, **overrides})


def roughen(field: PyramidField, seed: int = 0) -> PyramidField:
    """Give a field features of order 1 and outputs to match: a fresh one is nearly constant."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for encoder in field.encoders:
            encoder.table.copy_(torch.randn(encoder.table.shape, generator=generator))
        for name, parameter in sorted(field.named_parameters()):
            if "table" not in name:
                scale = 1.5 / parameter.shape[-1] ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return field


def tiny_field(seed: int = 0, **overrides) -> PyramidField:
    """A rough field of 4 levels."""
    return roughen(PyramidField(tiny_config(**overrides)), seed)


def tiny_model(**overrides) -> PyNeRF:
    """A fresh model of 4 levels, the same for the same `seed`."""
    return PyNeRF(tiny_config(**overrides))


def random_samples(
    num_samples: int = 200, num_levels: int = 4, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit positions [M, 3], unit directions [M, 3] and levels [M], every whole one among them."""
    generator = torch.Generator().manual_seed(seed)
    positions = torch.rand(num_samples, 3, generator=generator)
    dirs = functional.normalize(torch.randn(num_samples, 3, generator=generator), dim=-1)
    levels = torch.rand(num_samples, generator=generator) * (num_levels - 1)
    levels[: 3 * num_levels : 3] = torch.arange(num_levels).float()[: -(-num_samples // 3)]
    return positions, dirs, levels


def rays_through_box(num_rays: int = 60, seed: int = 0) -> Rays:
    """Rays from random places 3 units off to random points around the middle of the tiny box.

    Their pixels are of all sizes from the finest level's to the coarsest one's.
    """
    generator = torch.Generator().manual_seed(seed)
    rays_o = 3 * functional.normalize(torch.randn(num_rays, 3, generator=generator), dim=-1)
    targets = torch.rand(num_rays, 3, generator=generator) - 0.5
    return Rays(
        rays_o,
        functional.normalize(targets - rays_o, dim=-1),
        (0.015 * 12 ** torch.rand(num_rays, generator=generator)).square(),
        torch.tensor([[0.05, 8.0]]).repeat(num_rays, 1),
    )


def ball_scene(num_views: int = 6, size: int = 16, split: str = "train") -> Scene:
    """Views of a ball of radius 0.6 at the origin, coloured by its normals, on nothing."""
    cameras = make_cameras(num_views, width=size, height=size, focal=1.8 * size)
    images = []
    for view in range(num_views):
        rays = view_rays(cameras, view)
        rays_o, rays_d = rays.rays_o, rays.rays_d
        middle = -(rays_o * rays_d).sum(-1, keepdim=True)
        half_chord_squared = 0.6**2 - (rays_o + middle * rays_d).square().sum(-1, keepdim=True)
        hit = half_chord_squared > 0
        normals = (rays_o + (middle - half_chord_squared.clamp_min(0).sqrt()) * rays_d) / 0.6
        rgba = torch.where(hit, torch.cat([0.5 + 0.5 * normals, torch.ones_like(middle)], 1), 0.0)
        images.append(rgba.mul(255).round().view(size, size, 4).numpy().astype(np.uint8))
    return Scene.from_images(
        images, cameras, near=0.05, far=8.0, aabb=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0), split=split
    )


def training_tensors(trainer):
    """All tensors that a training depends on, by name."""
    state = {f"model.{name}": value for name, value in trainer.model.state_dict().items()}
    training = trainer.state_dict()
    state |= {name: training[name] for name in ("pixel_generator", "generator")}
    for name, optimizer in training["optimizers"].items():
        for key, entry in optimizer["state"].items():
            state |= {f"{name}.{key}.{part}": v for part, v in entry.items() if torch.is_tensor(v)}
    return state
