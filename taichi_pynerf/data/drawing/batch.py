"""Pixels that were drawn, with their rays."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from taichi_pynerf.geometry.rays import Rays


@dataclass(frozen=True, eq=False)
class Batch:
    """N pixels drawn at random, with their rays.

    Attributes:
        rays: N rays.
        rgb: [N, 3] float32 in [0, 1], over the background.
        weights: [N] float32, each pixel's weight in the loss. Their expected mean is 1, so that a
            weighted loss is as large as an unweighted one.
        view_indices: [N] int64, the image of each pixel.
        depth: [N] float32, the distance along the ray to what each pixel shows, in world units; 0
            where it is unknown.
        acc: [N] float32, alpha in [0, 1].
        sparse_depth: [N] float32, as `depth`, but of sparse points (`Sightings`).
    """

    rays: Rays
    rgb: torch.Tensor
    weights: torch.Tensor
    view_indices: torch.Tensor
    depth: torch.Tensor
    acc: torch.Tensor
    sparse_depth: torch.Tensor

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with all tensors on `device`."""
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})

    def __getitem__(self, index: slice | torch.Tensor) -> Batch:
        """Some of the pixels."""
        return Batch(**{name: value[index] for name, value in vars(self).items()})
