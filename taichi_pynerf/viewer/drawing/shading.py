"""The display modes: from a picture's layers to colours."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from taichi_pynerf.geometry.rays import view_rays
from taichi_pynerf.rendering.colormaps import color_map
from taichi_pynerf.rendering.pictures import to_bytes
from taichi_pynerf.viewer.drawing.layers import Layers
from taichi_pynerf.viewer.drawing.progressive import Patch
from taichi_pynerf.viewer.settings import Mode, ViewSettings
from taichi_pynerf.viewer.views import TrainingViews

GREATEST_ERROR = 0.25  # mean colour difference shown by the lightest colour
_GAMMA = 2.2  # colours are about this root of light; exposure scales light
_OPAQUE = 0.5  # opacity from which a pixel counts as opaque


def depth_range(layers: Layers) -> tuple[float, float]:
    """Least and greatest depth of what is opaque, without outliers."""
    depth = layers.depth[layers.acc > _OPAQUE]
    if not len(depth):
        return 0.0, 1.0
    step = max(len(depth) // 4096, 1)  # a few thousand pixels are enough
    low, high = np.quantile(depth[::step].numpy(), (0.01, 0.99))
    return float(low), float(high)


def shade(
    patch: Patch,
    settings: ViewSettings,
    *,
    depths: tuple[float, float],
    num_levels: int,
    far: float,
    views: TrainingViews | None,
) -> np.ndarray:
    """Colours uint8 [H, W, 3] of a patch in the mode and colours of the settings.

    Args:
        depths: the depths at the two ends of the colour map.
        num_levels: L of the pyramid.
        far: a distance beyond everything, for what is behind transparent pixels.
        views: for the error; without views that map is all background.
    """
    layers = patch.layers
    if settings.mode is Mode.COLOUR:
        return to_bytes(_exposed(layers, settings))
    if settings.mode is Mode.OPACITY:
        return to_bytes(layers.acc.unsqueeze(-1).expand(-1, -1, 3))
    if settings.mode is Mode.DEPTH:
        near, deep = depths
        return _over_background(color_map(near + deep - layers.depth, near, deep), layers, settings)
    if settings.mode is Mode.LEVEL:
        return _over_background(color_map(layers.level, 0, num_levels - 1), layers, settings)
    if settings.mode is Mode.NORMALS:
        if layers.normals is None:  # drawn before normals were requested; the next pass has them
            return _over_background(to_bytes(torch.full_like(layers.rgb, 0.5)), layers, settings)
        return _over_background(to_bytes(0.5 + 0.5 * layers.normals), layers, settings)
    if views is None:
        return _over_background(to_bytes(torch.zeros_like(layers.rgb)), layers, settings)
    background = torch.tensor(settings.background)
    error, known = error_map(patch, views, background, far)
    colours = color_map(error, 0.0, GREATEST_ERROR, "fire")
    return np.where(known.numpy()[..., None], colours, np.uint8(96))


def error_map(
    patch: Patch, views: TrainingViews, background: torch.Tensor, far: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Difference between the colours and those of the nearest training image.

    Each pixel's point in the world (a far point where the ray is transparent) is looked up in the
    image. Seen from the training view itself, this is the same pixel; from elsewhere the difference
    includes what really looks different from the two places.

    Args:
        patch: what was drawn.
        views: the training views.
        background: [3] behind both.
        far: distance of the points of transparent rays.

    Returns:
        error: [H, W] mean absolute difference of the colours.
        known: [H, W] bool, whether the point lies within the image.
    """
    shot, layers = patch.shot, patch.layers
    left, top, right, bottom = patch.box
    cameras = shot.camera.cameras(shot.width, shot.height)
    cameras = cameras.resized(*(torch.tensor([n]) for n in patch.size))
    rays = view_rays(cameras, 0)
    distance = torch.where(layers.acc > _OPAQUE, layers.depth, far).reshape(-1, 1)
    rays_d = rays.rays_d.view(patch.size[1], patch.size[0], 3)[top:bottom, left:right]
    points = rays.rays_o[0] + distance * rays_d.reshape(-1, 3)

    view = views.nearest(shot.camera)
    image = views.image(view, background)
    pixels, depth = views.cameras.project(view, points)
    size = torch.tensor([image.shape[1], image.shape[0]])
    grid = 2.0 * pixels / size - 1.0
    known = (grid.abs() <= 1.0).all(-1) & (depth > 0.0)  # false for NaN too
    looked_up = functional.grid_sample(
        image.permute(2, 0, 1)[None],
        torch.nan_to_num(grid).view(1, 1, -1, 2),
        padding_mode="border",
        align_corners=False,
    )[0, :, 0].T
    rgb = layers.rgb + (1.0 - layers.acc).unsqueeze(-1) * background
    error = (rgb.clamp(0, 1).reshape(-1, 3) - looked_up).abs().mean(-1)
    shape = layers.acc.shape
    return error.view(shape), known.view(shape)


def _exposed(layers: Layers, settings: ViewSettings) -> torch.Tensor:
    gain = 2.0 ** (settings.exposure / _GAMMA)
    background = torch.tensor(settings.background)
    return layers.rgb * gain + (1.0 - layers.acc).unsqueeze(-1) * background


def _over_background(colours: np.ndarray, layers: Layers, settings: ViewSettings) -> np.ndarray:
    """Colours [H, W, 3] over the background."""
    acc = layers.acc.clamp(0, 1).unsqueeze(-1).numpy()
    background = 255.0 * np.asarray(settings.background, dtype=np.float32)
    return (acc * colours + (1.0 - acc) * background).round().astype(np.uint8)
