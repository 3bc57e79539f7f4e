"""Drawing pixels at random from some of a scene's images."""

from __future__ import annotations

import torch


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
        self._views = views
        self._offsets = offsets
        self._masks = masks
        # Each image gets a range of integers, `tickets` for every pixel.
        self._ticket_ends = (num_pixels * tickets).cumsum(0)
        self._ticket_starts = self._ticket_ends - num_pixels * tickets
        self._tickets_per_pixel = tickets
        # A pixel is drawn with probability tickets / sum(num_drawn * tickets).
        normaliser = (num_drawn * tickets).sum() / (num_drawn * pixel_weights.double()).sum()
        self._weights = (pixel_weights / tickets * normaliser).float()

    def draw(
        self, num_rays: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw N pixels.

        Returns:
            view: [N] int64, the image of each pixel.
            pixel: [N] int64, its index in the image, row by row.
            weights: [N] float32, its weight; 1 in expectation.
        """
        slot, pixel = self._draw_any(num_rays, generator)
        if self._masks is not None:
            self._redraw_masked(self._masks, slot, pixel, generator)
        return self._views.index_select(0, slot), pixel, self._weights.index_select(0, slot)

    def _draw_any(
        self, num_rays: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices [N] into the list of images, and pixels [N] of those images, masked or not."""
        ticket = torch.randint(int(self._ticket_ends[-1]), (num_rays,), generator=generator)
        slot = torch.searchsorted(self._ticket_ends, ticket, right=True)
        pixel = (ticket - self._ticket_starts.index_select(0, slot)).div_(
            self._tickets_per_pixel.index_select(0, slot), rounding_mode="floor"
        )
        return slot, pixel

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
            at = self._offsets.index_select(0, self._views.index_select(0, slot)) + pixel
            masked = (~masks.index_select(0, at)).nonzero().squeeze(1)
            if not len(masked):
                return
            slot[masked], pixel[masked] = self._draw_any(len(masked), generator)
