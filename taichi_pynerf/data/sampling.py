"""Drawing pixels at random from some of a scene's images, and where the pixels are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.runtime.memory import free_memory
from taichi_pynerf.runtime.transfer import to_device

LARGEST_SHARE = 0.5  # of a device's free memory that images may take by themselves


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


class PixelStore(NamedTuple):
    """All pixels of V images, in one place.

    Attributes:
        pixels: [P, C] uint8.
        depths: [P] float32, along the optical axes; None if there are none.
        offsets: [V + 1] int64, where each image begins.
    """

    pixels: torch.Tensor
    depths: torch.Tensor | None
    offsets: torch.Tensor

    def kept(self, device: torch.device, choice: str) -> PixelStore:
        """These pixels where a model on `device` is to find them.

        Args:
            choice: "cpu" leaves them where they are, "cuda" copies them to the device, "auto" does
                so if they take no more than half of its free memory.

        Raises:
            ConfigError: they are to be on a CUDA device, and the model is not.
        """
        if choice == "cuda" and device.type == "cpu":
            raise ConfigError(
                'data_device is "cuda", and the model is on the CPU: leave it at "auto", or train '
                "with --backend cuda"
            )
        if choice == "cpu" or device.type == "cpu":
            return self
        depths = self.depths
        parts = [self.pixels, self.offsets, *([] if depths is None else [depths])]
        size = sum(part.numel() * part.element_size() for part in parts)
        if choice == "auto" and size > LARGEST_SHARE * free_memory(device):
            return self
        depths = None if depths is None else depths.to(device)
        return PixelStore(self.pixels.to(device), depths, self.offsets.to(device))


class _Tables(NamedTuple):
    """What turns a ticket into a pixel; each [A].

    Every image has a range of integers, `per_pixel` of them for each of its pixels.
    """

    views: torch.Tensor
    starts: torch.Tensor
    ends: torch.Tensor
    per_pixel: torch.Tensor
    weights: torch.Tensor

    def pixels_of(self, ticket: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[N] places in the list of images, and [N] pixels in those images."""
        slot = torch.searchsorted(self.ends, ticket, right=True)
        pixel = (ticket - self.starts.index_select(0, slot)).div_(
            self.per_pixel.index_select(0, slot), rounding_mode="floor"
        )
        return slot, pixel


class PixelSampler:
    """Draws pixels of A images with replacement, all pixels of one image being equally likely.

    Args:
        views: [A] int64, the images to draw from.
        offsets: [V + 1] int64, the first pixel of each of all V images in one buffer of P pixels.
        tickets: [A] int64, relative probabilities of the pixels of each image; None: all equal.
        pixel_weights: [A] float32, expected weight of a pixel of each image.
        masks: [P] bool, which pixels to draw; None: all.

    Raises:
        ValueError: there is no pixel to draw.
    """

    def __init__(
        self,
        views: torch.Tensor,
        offsets: torch.Tensor,
        *,
        tickets: torch.Tensor | None,
        pixel_weights: torch.Tensor,
        masks: torch.Tensor | None,
    ) -> None:
        tickets = torch.ones_like(views) if tickets is None else tickets
        num_pixels = num_drawn = offsets.diff()[views]
        if masks is not None:
            bounds = zip(offsets[views].tolist(), offsets[views + 1].tolist(), strict=True)
            num_drawn = torch.stack([masks[start:end].sum() for start, end in bounds])
        if not num_drawn.any():
            raise ValueError("there are no pixels to draw: the masks leave none of these images")
        self._offsets = offsets
        self._masks = masks
        ends = (num_pixels * tickets).cumsum(0)
        self._num_tickets = int(ends[-1])
        # A pixel is drawn with probability tickets / sum(num_drawn * tickets).
        normaliser = (num_drawn * tickets).sum() / (num_drawn * pixel_weights.double()).sum()
        weights = (pixel_weights / tickets * normaliser).float()
        self._host = _Tables(views, ends - num_pixels * tickets, ends, tickets, weights)
        self._there = self._host

    def draw_on(self, device: torch.device) -> PixelSampler:
        """From now on `draw` gives its pixels on a device: the same ones, for the same generator.

        Returns:
            The sampler itself.
        """
        self._there = _Tables(*(table.to(device) for table in self._host))
        return self

    def draw(
        self, num_rays: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw N pixels.

        Returns:
            view: [N] int64, the image of each pixel.
            pixel: [N] int64, its index in the image, row by row.
            weights: [N] float32, its weight; 1 in expectation.
        """
        device = self._there.views.device
        if self._masks is None:
            tickets = to_device(self._tickets(num_rays, generator), device)
            slot, pixel = self._there.pixels_of(tickets)
        else:  # how many are to be drawn again, the processor has to know
            slot, pixel = self._host.pixels_of(self._tickets(num_rays, generator))
            self._redraw_masked(self._masks, slot, pixel, generator)
            slot, pixel = to_device(slot, device), to_device(pixel, device)
        views, weights = self._there.views, self._there.weights
        return views.index_select(0, slot), pixel, weights.index_select(0, slot)

    def _tickets(self, num_rays: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(self._num_tickets, (num_rays,), generator=generator)

    def _redraw_masked(
        self,
        masks: torch.Tensor,
        slot: torch.Tensor,
        pixel: torch.Tensor,
        generator: torch.Generator,
    ) -> None:
        """Replace masked pixels by new draws, in place, until none is left.

        The relative probabilities of the other pixels stay the same.
        """
        while True:
            at = self._offsets.index_select(0, self._host.views.index_select(0, slot)) + pixel
            masked = (~masks.index_select(0, at)).nonzero().squeeze(1)
            if not len(masked):
                return
            slot[masked], pixel[masked] = self._host.pixels_of(
                self._tickets(len(masked), generator)
            )
