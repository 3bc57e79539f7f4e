"""Settings that follow from a scene: its box, and how fine the finest level needs to be."""

import math

import torch

from taichi_pynerf.config import AUTO, PyNeRFConfig
from taichi_pynerf.evaluation import Dataset
from taichi_pynerf.pyramid import create_pyramid_hierarchy
from taichi_pynerf.scene_box import SceneBox

# Measured on lego: at 200 x 200 a finest level of 512 cells (2.4 to a footprint) does better than
# 2048, at 400 x 400 one of 1024 (2.4) better than 512 (1.2).
CELLS_PER_FOOTPRINT = 1.5


def fit_to_scene(config: PyNeRFConfig, dataset: Dataset) -> PyNeRFConfig:
    """The configuration with the dataset's scene box and, if it is "auto", a finest resolution."""
    config = config.replace(aabb=list(dataset.aabb))
    if config.max_resolution != AUTO:
        return config
    width = finest_footprint(dataset, SceneBox(config.aabb))
    return config.replace(
        max_resolution=fit_resolution(
            CELLS_PER_FOOTPRINT * SceneBox(config.aabb).size / width,
            config.num_levels,
            config.base_resolution,
            config.scale_factor,
        )
    )


def finest_footprint(dataset: Dataset, box: SceneBox) -> float:
    """Width, in world units, of the smallest pixel footprint at the middle of the scene box."""
    cameras = dataset.cameras
    center = torch.tensor(box.center, dtype=torch.float32)
    distance = (cameras.c2w[:, :, 3] - center).norm(dim=-1)
    # A camera inside the box still sees things at some distance.
    distance = distance.clamp_min(0.1 * box.size)
    return float((distance / (cameras.fx * cameras.fy).sqrt()).min())


def fit_resolution(cells: float, num_levels: int, base_resolution: int, scale_factor: float) -> int:
    """The finest resolution of a pyramid whose footprints ask for `cells` across the box.

    The first level that has the cells; finer levels would be no footprint's own and only learn
    noise.
    """
    finest = math.ceil(cells)
    resolutions = create_pyramid_hierarchy(num_levels, base_resolution, scale_factor, 2**30)
    return next((n for n in resolutions if n >= finest), resolutions[-1])
