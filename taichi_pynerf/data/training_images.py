"""What fitting to a scene and carving need to know of training images."""

from __future__ import annotations

from typing import Protocol

import torch

from taichi_pynerf.data.drawing.sightings import Sightings
from taichi_pynerf.geometry.cameras import Cameras


class TrainingImages(Protocol):
    """The parts of training images that fitting to a scene and carving need.

    The members are those of `PyNeRFDataset`.
    """

    cameras: Cameras
    scales: torch.Tensor
    near: float
    far: float
    aabb: tuple[float, ...]
    unbounded: bool
    background: torch.Tensor
    has_alpha: bool
    exposures: torch.Tensor

    def __len__(self) -> int: ...
    def image(self, index: int) -> torch.Tensor: ...
    def alpha(self, index: int) -> torch.Tensor: ...
    def mask(self, index: int) -> torch.Tensor | None: ...


class SightedImages(TrainingImages, Protocol):
    """Training images that may know what sparse points they see."""

    sightings: Sightings | None
