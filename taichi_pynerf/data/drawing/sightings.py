"""Pixels that show points of known distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.runtime.transfer import to_device


@dataclass(frozen=True, eq=False)
class Sightings:
    """Pixels of V images that show points of known distance, as structure from motion finds them.

    Attributes:
        views: [K] int64, the image of each sighting.
        pixels: [K] int64, the pixel that shows the point, row by row.
        depths: [K] float32, the point's distance along the optical axis, world units.
    """

    views: torch.Tensor
    pixels: torch.Tensor
    depths: torch.Tensor

    def __len__(self) -> int:
        return len(self.views)

    @staticmethod
    def at(
        views: torch.Tensor,
        x: torch.Tensor,
        y: torch.Tensor,
        depths: torch.Tensor,
        cameras: Cameras,
    ) -> Sightings:
        """Those of K sightings at columns x and rows y, int64 [K], that fall on their images."""
        width, height = cameras.width[views], cameras.height[views]
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return Sightings(views[inside], (y * width + x)[inside], depths[inside])

    @staticmethod
    def cat(parts: Sequence[Sightings]) -> Sightings | None:
        """All sightings of some lists together, image by image; None if there are none."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        views, pixels, depths = (torch.cat(values) for values in columns)
        order = views.argsort(stable=True)
        return Sightings(views[order], pixels[order], depths[order]) if len(views) else None

    def of_views(self, views: torch.Tensor) -> Sightings:
        """The sightings in some of the images."""
        there = torch.isin(self.views, views)
        return Sightings(self.views[there], self.pixels[there], self.depths[there])

    def draw_into(
        self,
        view: torch.Tensor,
        pixel: torch.Tensor,
        depth: torch.Tensor,
        count: int,
        generator: torch.Generator,
    ) -> None:
        """Replace the first `count` of N pixels by sightings, drawn with replacement.

        Args:
            view, pixel: int64 [N], as `PixelSampler.draw` gives them; changed in place.
            depth: float32 [N], which gets the depths of the sightings.
            count: how many.
            generator: of the CPU.
        """
        drawn = torch.randint(len(self), (count,), generator=generator)
        for values, chosen in ((view, self.views), (pixel, self.pixels), (depth, self.depths)):
            values[:count] = to_device(chosen.index_select(0, drawn), values.device)
