"""Where the pixels of training images are kept."""

from __future__ import annotations

from typing import NamedTuple

import torch

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.runtime.memory import free_memory

LARGEST_SHARE = 0.5  # of a device's free memory that images may take by themselves


def check_data_device(choice: str, device: torch.device) -> None:
    """Refuse `data_device` "cuda" for a model that is elsewhere.

    Raises:
        ConfigError: it is.
    """
    if choice == "cuda" and device.type == "cpu":
        raise ConfigError(
            'data_device is "cuda", and the model is on the CPU: leave it at "auto", or train '
            "with --backend cuda"
        )


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
        check_data_device(choice, device)
        if choice == "cpu" or device.type == "cpu":
            return self
        depths = self.depths
        parts = [self.pixels, self.offsets, *([] if depths is None else [depths])]
        size = sum(part.numel() * part.element_size() for part in parts)
        if choice == "auto" and size > LARGEST_SHARE * free_memory(device):
            return self
        depths = None if depths is None else depths.to(device)
        return PixelStore(self.pixels.to(device), depths, self.offsets.to(device))
