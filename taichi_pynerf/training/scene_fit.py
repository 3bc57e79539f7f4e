"""Settings that follow from a scene: its box, its finest level, its background."""

import math

import torch

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.data.aim import meets_box
from taichi_pynerf.data.training_images import TrainingImages
from taichi_pynerf.errors import ConfigError, SceneError
from taichi_pynerf.geometry.rays import generate_rays
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.pyramid import create_pyramid_hierarchy
from taichi_pynerf.presets import AUTO
from taichi_pynerf.training.color_correction import exposures_differ

# Least number of cells of the finest level across the smallest footprint. Measured on lego: at
# 200 x 200, 512 cells across the box (2.4 per footprint) do better than 2048; at 400 x 400, 1024
# cells (2.4) do better than 512 (1.2).
CELLS_PER_FOOTPRINT = 1.5
MAX_CASCADES = 6

NUM_PROBES = 2**14
LEAST_SHARE = 0.005
"""Least share of the rays that must meet the box: a square of 1/14 of a picture's side."""


def fit_to_scene(config: PyNeRFConfig, dataset: TrainingImages) -> PyNeRFConfig:
    """The configuration for a dataset: with its scene box, unbounded or not, and its extent.

    Settings that are "auto" get their values: `max_resolution` from the cameras, `background` from
    the images (`fit_background`), and `color_correction` from whether the photographs of an
    unbounded scene were exposed differently (`exposures_differ`). Presets have other settings for
    unbounded scenes: `PyNeRFConfig.preset(name, unbounded=dataset.unbounded)`.

    Raises:
        SceneError: hardly any ray meets the scene box.
    """
    config = config.replace(aabb=list(dataset.aabb), unbounded=dataset.unbounded)
    box = SceneBox(config.aabb, config.unbounded)
    check_rays_meet(dataset, box)
    if config.unbounded:
        config = config.replace(num_cascades=fit_cascades(dataset, box))
    if config.background == AUTO:
        config = config.replace(background=fit_background(dataset))
    if config.color_correction == AUTO:
        differ = config.unbounded and exposures_differ(dataset)
        config = config.replace(color_correction="affine" if differ else "none")
    if config.max_resolution != AUTO:
        return config
    width = finest_footprint(dataset, box)
    return config.replace(
        max_resolution=fit_resolution(
            CELLS_PER_FOOTPRINT * box.field_size / width,
            config.num_levels,
            config.base_resolution,
            config.scale_factor,
        )
    )


def check_fitted(config: PyNeRFConfig) -> None:
    """Refuse a configuration that leaves to the scene what a training has to know.

    Raises:
        ConfigError: `background` or `color_correction` is "auto".
    """
    for name in ("background", "color_correction"):
        if getattr(config, name) == AUTO:
            raise ConfigError(
                f'{name} is "auto": choose a value, or let `fit_to_scene` take it from the '
                "training images"
            )


def check_rays_meet(dataset: TrainingImages, box: SceneBox) -> None:
    """Refuse a bounded scene whose rays miss its box: there would be nothing to learn.

    Raises:
        SceneError: fewer than `LEAST_SHARE` of the rays meet the box.
    """
    if box.unbounded:
        return
    cameras, generator = dataset.cameras, torch.Generator().manual_seed(0)
    view = torch.randint(len(cameras), (NUM_PROBES,), generator=generator)
    x, y = (
        (torch.rand(NUM_PROBES, generator=generator) * sides[view]).long()
        for sides in (cameras.width, cameras.height)
    )
    rays = generate_rays(cameras, view, x, y)
    share = meets_box(rays.rays_o.numpy(), rays.rays_d.numpy(), tuple(box.aabb)).mean()
    if share < LEAST_SHARE:
        corners = " ".join(f"{value:.4g}" for value in box.aabb)
        raise SceneError(
            f"{share:.1%} of the training rays meet the scene box ({corners}), so there is nothing "
            "to learn: give the box that the cameras look into by --aabb or --scene_scale, or let "
            "--center focus --auto_scale place the scene; pynerf-inspect draws cameras and box"
        )


def fit_background(dataset: TrainingImages) -> str:
    """The background to train over: "random", unless the images show the background itself.

    Over a single colour, a surface of that colour might as well be transparent. Over random colours
    it cannot be. Images without alpha of a bounded scene show the dataset's background.
    """
    if dataset.has_alpha or dataset.unbounded:
        return "random"
    return "white" if bool((dataset.background > 0.5).all()) else "black"


def fit_cascades(dataset: TrainingImages, box: SceneBox) -> int:
    """The least number of cascades that hold all that the cameras see up to the dataset's far.

    At most `MAX_CASCADES`: whatever lies beyond is as good as infinitely far away.
    """
    offset = (dataset.cameras.c2w[:, :, 3] - torch.tensor(box.center)).abs().amax(-1)
    reach = 2 * (float(offset.max()) + dataset.far) / box.size
    return min(max(1 + math.ceil(math.log2(reach)), 1), MAX_CASCADES)


def finest_footprint(dataset: TrainingImages, box: SceneBox) -> float:
    """Width, in world units, of the smallest pixel footprint at the middle of the scene box."""
    cameras = dataset.cameras
    center = torch.tensor(box.center, dtype=torch.float32)
    distance = (cameras.c2w[:, :, 3] - center).norm(dim=-1)
    # A camera in the middle of the box still sees things at some distance.
    distance = distance.clamp_min(0.1 * box.size)
    return float((distance / (cameras.fx * cameras.fy).sqrt()).min())


def fit_resolution(cells: float, num_levels: int, base_resolution: int, scale_factor: float) -> int:
    """The finest resolution of a pyramid whose footprints need `cells` across the box.

    This is the first level that has so many cells. Pixels that ask for a finer one, by
    `cells_per_footprint` or from nearby, get this one.
    """
    finest = math.ceil(cells)
    resolutions = create_pyramid_hierarchy(num_levels, base_resolution, scale_factor, 2**30)
    return next((n for n in resolutions if n >= finest), resolutions[-1])
