"""Sets of images to render: the views of a split at some scale or size, or a camera path."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import torch

from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.rendering.camera_kinds import (
    EYE_DISTANCE,
    cameras_of_kind,
    usual_size,
    vertical_angles,
)
from taichi_pynerf.rendering.camera_paths import farthest, resized_cameras
from taichi_pynerf.runs.scene_source import SceneSource, Views

GREATEST_SCALE = 16


@dataclass(frozen=True)
class Shot:
    """One image to render.

    Attributes:
        stem: its file within the folder, without suffix; it may contain subfolders.
        name, scale: its name and scale in the result.
        truth: returns the photograph [H, W, 3], and its mask [H, W] or None; None if there is
            no photograph to compare with.
        exposure: exposure of the photograph by EXIF, in stops; NaN if unknown.
    """

    stem: str
    name: str
    scale: int = 1
    truth: Callable[[], tuple[torch.Tensor, torch.Tensor | None]] | None = None
    exposure: float = math.nan


@dataclass(frozen=True, eq=False)
class ViewSet:
    """Images to render.

    Attributes:
        cameras: one for each shot.
        shots: one for each camera.
        near, far: least and greatest distance along rays, world units.
        background: [3] colour behind the scene.
        transform: transform from the coordinates of the scene's files to the cameras'.
    """

    cameras: Cameras
    shots: list[Shot]
    near: float
    far: float
    background: torch.Tensor
    transform: SceneTransform = field(default_factory=SceneTransform)


def photographed_views(source: SceneSource, split: str, scales: Sequence[Fraction]) -> ViewSet:
    """A split's views at scales for which there are photographs: 1, 1/2, 1/3, …

    Raises:
        ConfigError: there is no photograph at one of the scales.
        SceneError: the scene cannot be loaded, or a scale does not divide its images.
    """
    for scale in scales:
        if scale.numerator != 1:
            raise ConfigError(f"--scale {scale}: there are photographs only at scales 1/K")
    dataset = source.load(split, [scale.denominator for scale in scales])

    def truth(i: int) -> Callable[[], tuple[torch.Tensor, torch.Tensor | None]]:
        return lambda: (dataset.image(i), dataset.mask(i))

    shots = [
        Shot(_stem(name, Fraction(1, k), scales), name, k, truth(i), exposure)
        for i, (name, k, exposure) in enumerate(
            zip(dataset.names, dataset.scales.tolist(), dataset.exposures.tolist(), strict=True)
        )
    ]
    return _of_dataset(dataset, dataset.cameras, shots)


def scaled_views(source: SceneSource, split: str, scales: Sequence[Fraction]) -> ViewSet:
    """A split's views at any scales; pixels grow by the factor by which images shrink.

    Raises:
        ConfigError: a scale leaves an image without pixels.
    """
    dataset = source.views(split)
    cameras = Cameras.cat([scaled_cameras(dataset.cameras, scale) for scale in scales])
    shots = [
        Shot(_stem(name, scale, scales), name, exposure=exposure)
        for scale in scales
        for name, exposure in zip(dataset.names, dataset.exposures, strict=True)
    ]
    return _of_dataset(dataset, cameras, shots)


def sized_views(source: SceneSource, split: str, width: int, height: int) -> ViewSet:
    """A split's views with images of one size and unchanged vertical angles of view."""
    dataset = source.views(split)
    cameras = resized_cameras(dataset.cameras, width, height)
    shots = [
        Shot(name, name, exposure=exposure)
        for name, exposure in zip(dataset.names, dataset.exposures, strict=True)
    ]
    return _of_dataset(dataset, cameras, shots)


def views_of_kind(
    source: SceneSource,
    split: str,
    kind: str,
    size: tuple[int, int] | None = None,
    eye_distance: float = EYE_DISTANCE,
) -> ViewSet:
    """Views of cameras of another kind, from the positions of a split's views.

    Args:
        source, split: the scene and its split.
        kind: one of `CAMERA_KINDS`.
        size: width and height of the image of each eye; by default with the first view's detail.
        eye_distance: distance between the eyes of stereo pairs, units of the scene's files.
    """
    dataset = source.views(split)
    cameras = dataset.cameras
    width, height = size or usual_size(kind, int(cameras.width[0]), int(cameras.height[0]))
    eyes, center = eye_distance * dataset.transform.scale, box_center(dataset.aabb)
    cameras = cameras_of_kind(
        kind, cameras.c2w, vertical_angles(cameras), width, height, eyes, center
    )
    return _of_dataset(dataset, cameras, [Shot(name, name) for name in dataset.names])


def box_center(aabb: Sequence[float]) -> tuple[float, ...]:
    """The middle of a box (x0, y0, z0, x1, y1, z1)."""
    return tuple((low + high) / 2 for low, high in zip(aabb[:3], aabb[3:], strict=True))


def path_views(
    dataset: Dataset, cameras: Cameras, folder: str, background: torch.Tensor | None = None
) -> ViewSet:
    """The frames of a path through a dataset's scene, numbered, in their own folder.

    The far bound is extended so that the path sees the whole scene box.

    Args:
        background: [3] colour behind the scene; by default the dataset's.
    """
    stems = [f"{folder}/{i:05d}" for i in range(len(cameras))]
    far = farthest(cameras, dataset.aabb, dataset.far)
    shots = [Shot(stem, stem) for stem in stems]
    background = dataset.background if background is None else background
    return ViewSet(cameras, shots, dataset.near, far, background, dataset.transform)


def scaled_cameras(cameras: Cameras, scale: Fraction) -> Cameras:
    """The cameras with images of another scale.

    Raises:
        ConfigError: an image would have no pixels.
    """
    try:
        if scale.numerator == 1:  # the same way as photographs are reduced
            return cameras.downscaled(scale.denominator)
    except ValueError as error:
        raise ConfigError(f"--scale {scale}: {error}") from None
    width, height = ((x * float(scale)).round().long() for x in (cameras.width, cameras.height))
    if min(width.min(), height.min()) < 1:
        raise ConfigError(f"--scale {scale} would leave an image without pixels")
    return cameras.resized(width, height)


def path_depth_range(views: ViewSet, aabb: Sequence[float]) -> tuple[float, float]:
    """Least and greatest distance from a path's cameras to the scene box: one range for a film."""
    corners = torch.tensor(aabb).view(2, 3)
    reach = float((corners[1] - corners[0]).norm() / 2)
    distances = (views.cameras.c2w[:, :, 3] - corners.mean(0)).norm(dim=-1)
    near = max(float(distances.min()) - reach, views.near, 0.1 * reach)
    return near, max(float(distances.max()) + reach, 2 * near)


def parse_scale(text: str) -> Fraction:
    """A scale like 1, 1/8, 0.5 or 2.

    Raises:
        ConfigError: it is not a number above 0 and up to 16.
    """
    try:
        scale = Fraction(text).limit_denominator(4096)
    except (ValueError, ZeroDivisionError):
        scale = Fraction(0)
    if not 0 < scale <= GREATEST_SCALE:
        raise ConfigError(f"--scale {text}: write 1, 1/8, 0.5 or the like, up to {GREATEST_SCALE}")
    return scale


def _stem(name: str, scale: Fraction, scales: Sequence[Fraction]) -> str:
    """The file stem of an image; in a folder for its scale if there are several."""
    return name if len(scales) == 1 else f"scale_{str(scale).replace('/', '-')}/{name}"


def _of_dataset(dataset: Dataset | Views, cameras: Cameras, shots: list[Shot]) -> ViewSet:
    return ViewSet(cameras, shots, dataset.near, dataset.far, dataset.background, dataset.transform)
