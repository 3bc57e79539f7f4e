"""Drawing pixels at random from some of a scene's images."""

from __future__ import annotations

from typing import NamedTuple

import torch

from taichi_pynerf.runtime.transfer import to_device


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
