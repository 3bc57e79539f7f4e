"""Large tensors that stay on the device from launch to launch.

On the CPU and with CUDA, kernels work on torch's own memory, and nothing is copied here. On Vulkan,
Taichi copies every torch tensor to the device and back at each launch. For a hash table this would
take longer than the kernel. A tensor given to `keep_on_device` therefore has a twin in the device's
memory, on which kernels work:

- `device_memory(tensor)` is the argument for a kernel. The twin is filled at first use, and again
  only if torch has changed the tensor since.
- `to_host(tensor)` updates torch's copy after kernels wrote to the twin. Call it before reading
  such a tensor with torch; it costs nothing if nothing was written.
"""

import numpy as np
import taichi as ti
import torch
from torch.utils.weak import WeakTensorKeyDictionary

from taichi_pynerf import runtime

_DTYPES = {torch.float32: ti.f32, torch.int32: ti.i32, torch.uint8: ti.u8}


class _Twin:
    """A tensor's memory on the device.

    Attributes:
        array: rows of a matrix [E, F] as E vectors; any other shape flat.
        version: torch's count of the tensor's changes when the two were last equal, or None.
        ahead: whether kernels have written to the array since then.
    """

    def __init__(self, tensor: torch.Tensor):
        dtype = _DTYPES[tensor.dtype]
        if tensor.dim() == 2:
            self.array = ti.Vector.ndarray(tensor.shape[1], dtype, shape=tensor.shape[:1])
        else:
            self.array = ti.ndarray(dtype, shape=(tensor.numel(),))
        self.version: int | None = None
        self.ahead = False

    def upload(self, tensor: torch.Tensor) -> None:
        if self.version == tensor._version:
            return
        if self.ahead:
            raise RuntimeError(
                "torch changed a tensor whose newest values are on the device: call to_host first"
            )
        self.array.from_numpy(_numpy(tensor))
        self.version = tensor._version

    def download(self, tensor: torch.Tensor) -> None:
        if self.ahead:
            # Through numpy, as torch would count this update as a change.
            _numpy(tensor)[...] = self.array.to_numpy()
            self.ahead = False


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's own memory, in the shape of its twin."""
    tensor = tensor.detach()
    return (tensor if tensor.dim() == 2 else tensor.view(-1)).numpy()


_twins: WeakTensorKeyDictionary = WeakTensorKeyDictionary()  # to a _Twin, or None until needed


def keep_on_device(tensor: torch.Tensor) -> torch.Tensor:
    """Keep this tensor on the device for kernels, from now on and for as long as it lives.

    Args:
        tensor: contiguous; float32, int32 or uint8.

    Returns:
        The tensor itself.
    """
    if tensor.dtype not in _DTYPES:
        raise ValueError(f"tensors of {tensor.dtype} cannot be kept on the device")
    if not tensor.is_contiguous():
        raise ValueError("a tensor that is kept on the device must be contiguous")
    _twins.setdefault(tensor, None)
    return tensor


def device_memory(tensor: torch.Tensor, writes: bool = False) -> torch.Tensor | ti.Ndarray:
    """The argument for a kernel that uses a tensor: the tensor, detached, or its twin.

    Args:
        tensor: a matrix, which the kernel sees as rows; any other shape is seen flat.
        writes: whether the kernel writes to it.

    Raises:
        RuntimeError: torch changed the tensor while the newest values were on the device.
    """
    if runtime.shares_memory() or tensor not in _twins:
        return tensor.detach() if tensor.dim() == 2 else tensor.detach().view(-1)
    twin = _twins[tensor]
    if twin is None:
        twin = _twins[tensor] = _Twin(tensor)
    twin.upload(tensor)
    twin.ahead |= writes
    return twin.array


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself, for torch to read, including everything that kernels wrote to it."""
    twin = _twins.get(tensor)
    if twin is not None:
        twin.download(tensor)
    return tensor
