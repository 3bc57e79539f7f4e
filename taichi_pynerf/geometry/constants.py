"""Numbers as tensors, made once for each device."""

from __future__ import annotations

import functools

import torch


def constant(values: tuple[float, ...], like: torch.Tensor) -> torch.Tensor:
    """The values [K] in the type and on the device of `like`. Do not change the shared tensor.

    Making a tensor from Python's numbers each time would wait for the device to finish its work.
    """
    return _constant(values, like.dtype, like.device)


@functools.lru_cache(maxsize=1024)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # whoever asks next may want gradients
        return torch.tensor(values, dtype=dtype, device=device)
