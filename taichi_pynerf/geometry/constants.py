"""Numbers as tensors, made once for each device."""

from __future__ import annotations

import functools

import torch


def constant(values: tuple[float, ...], like: torch.Tensor) -> torch.Tensor:
    """[K] the values in the type and on the device of `like`. The same tensor each time: read it.

    Making a tensor of Python's numbers anew waits for all that the device has been given to do.
    """
    return _constant(values, like.dtype, like.device)


@functools.lru_cache(maxsize=1024)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # whoever asks next may want gradients
        return torch.tensor(values, dtype=dtype, device=device)
