"""Copies between the processor and a device without waiting.

A plain copy waits until the device has done all the work that it was given before. A copy from or
to pinned memory joins the queue of that work, and the program goes on. On the processor nothing is
copied.
"""

from __future__ import annotations

import torch


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the processor on a device; the tensor itself if the device is the processor."""
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def wait_for(device: torch.device) -> None:
    """Wait until a device has done all the work that it was given; the processor always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Reading:
    """A small tensor on its way to the processor.

    The copy begins at once. Reading it waits for the work that the device was given before, if that
    is not done yet.

    Args:
        tensor: any shape, on any device.
    """

    def __init__(self, tensor: torch.Tensor):
        self._host, self._arrived = tensor, None
        if tensor.device.type != "cpu":
            self._host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._host.copy_(tensor, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def tolist(self) -> list:
        """The values, as `Tensor.tolist` gives them."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host.tolist()
