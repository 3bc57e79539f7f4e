"""A machine with the pretend device: the parts of torch, Taichi and the package that meet CUDA."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator

import torch
from pretend import (
    DEVICE,
    HOST,
    MixedDevices,
    PretendMode,
    PretendTensor,
    device_generator,
    inner_of,
    ledger,
    on_device,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from taichi_pynerf import runtime
from taichi_pynerf.kernels import launch
from taichi_pynerf.runtime import backend


class Event:
    """`torch.cuda.Event`. It has come once the program has waited for anything later."""

    def __init__(self, **kwargs):
        self._waits_before: int | None = None

    def record(self) -> None:
        self._waits_before = ledger.num_waits

    def synchronize(self) -> None:
        if self._waits_before is None:
            raise RuntimeError("the event was not recorded")
        if ledger.num_waits == self._waits_before:
            ledger.wait("an event")


class _Autocast(TorchFunctionMode):
    """`torch.autocast` for the device: products of matrices in the lower type."""

    LOWERED = (torch.nn.functional.linear, torch.mm, torch.matmul, torch.bmm, torch.addmm)

    def __init__(self, dtype: torch.dtype):
        super().__init__()
        self._dtype = dtype

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in self.LOWERED:
            args = [x.to(self._dtype) if on_device(x) else x for x in args]
        return func(*args, **(kwargs or {}))


def _autocast_for(real):
    def autocast(device_type: str, dtype: torch.dtype | None = None, enabled: bool = True):
        if device_type != DEVICE.type:
            return real(device_type, dtype, enabled=enabled)
        return _Autocast(dtype) if enabled else contextlib.nullcontext()

    return autocast


class _Generators(torch.Generator):
    """`torch.Generator`, for either device."""

    def __new__(cls, device="cpu"):
        if torch.device(device).type == DEVICE.type:
            return device_generator()
        return super().__new__(torch.Generator, device)


def _through_host(real):
    """`torch.tensor` and the like make tensors on the processor and copy them from there."""

    @functools.wraps(real)
    def made(data, *args, device=None, **kwargs):
        if on_device(data):  # `as_tensor`
            return data.to(device=device or DEVICE, **kwargs)
        found = real(data, *args, **kwargs)
        return found if device is None else found.to(device)

    return made


def _launcher_for(real):
    """Of kernels: they take contiguous tensors of the device alone, and no gradients."""

    def call(self, *args):
        name, tensors = self.__name__, [x for x in args if isinstance(x, torch.Tensor)]
        for place, x in enumerate(args):
            if not isinstance(x, torch.Tensor):
                continue
            if not on_device(x):
                raise MixedDevices(f"kernel {name}: argument {place} is the processor's")
            if not x.is_contiguous():
                raise ValueError(f"kernel {name}: argument {place} is not contiguous")
            if x.requires_grad:
                raise ValueError(f"kernel {name}: argument {place} wants a gradient")
        if not tensors:
            raise ValueError(f"kernel {name} is given no tensor")
        ledger.kernels[name] += 1
        with _disable_current_modes():
            real(self, *map(inner_of, args))

    return call


@contextlib.contextmanager
def pretend_machine() -> Iterator[None]:
    """In the block models live on the pretend device, as they would on CUDA's."""
    adam = importlib.import_module("torch.optim.adam")
    stand_ins = [
        (backend, "_started", "cuda"),
        (backend, "torch_device", lambda: DEVICE),
        (runtime, "torch_device", lambda: DEVICE),
        (torch, "Generator", _Generators),
        (torch, "autocast", _autocast_for(torch.autocast)),
        (torch, "tensor", _through_host(torch.tensor)),
        (torch, "as_tensor", _through_host(torch.as_tensor)),
        (torch.cuda, "Event", Event),
        (torch.cuda, "get_device_name", lambda *_: "pretend device"),
        (torch.cuda, "get_device_capability", lambda *_: (9, 0)),
        (adam, "_device_dtype_check_for_fused", lambda *_, **__: None),
        (launch.Kernel, "__call__", _launcher_for(launch.Kernel.__call__)),
    ]
    with contextlib.ExitStack() as stack:
        for owner, name, stand_in in stand_ins:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, stand_in)
        ledger.clear()
        stack.enter_context(PretendMode())
        yield


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's values, for a test to look at."""
    return tensor.inner if isinstance(tensor, PretendTensor) else tensor.to(HOST)
