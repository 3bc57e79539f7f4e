"""A device that is not there: its tensors compute on the processor and behave as a graphics card's.

A `PretendTensor` holds an ordinary tensor and reports another device. As torch does with CUDA, it
refuses to be mixed with tensors of the processor. What a card would make the program wait for is
written down, and so is every operator that would be launched there.

This shows where a program would stop or wait, and nothing of how fast it would be.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

import taichi_pynerf

PACKAGE = f"{Path(taichi_pynerf.__file__).parent}/"
DEVICE = torch.device("meta")  # of those that autograd knows without a driver
HOST = torch.device("cpu")

aten = torch.ops.aten
# Their results are as long as the values say, which the program has to be told.
_SIZED_BY_VALUES = {
    aten.nonzero.default, aten.masked_select.default, aten.bincount.default, aten.equal.default,
    aten._unique2.default, aten.unique_dim.default, aten.unique_consecutive.default,
}  # fmt: skip
_INDEXING = {
    aten.index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default,
}  # fmt: skip
_ALLOCATING = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


class MixedDevices(RuntimeError):
    """Tensors of both devices met, as CUDA's and the processor's must not."""


@dataclass
class Ledger:
    """What a program asked of the pretend device, by the line of the package that asked.

    Attributes:
        waits: for what is under way there: values that are read, copies that do not overlap.
        copies: that do overlap: from or to pinned memory.
        operators: that torch would launch there; views and allocations launch nothing.
        kernels: Taichi's.
    """

    waits: Counter = field(default_factory=Counter)
    copies: Counter = field(default_factory=Counter)
    operators: Counter = field(default_factory=Counter)
    kernels: Counter = field(default_factory=Counter)

    def wait(self, what: str) -> None:
        self.waits[f"{what} at {where()}"] += 1

    def copy(self, what: str) -> None:
        self.copies[f"{what} at {where()}"] += 1

    @property
    def num_waits(self) -> int:
        return self.waits.total()

    @property
    def num_launches(self) -> int:
        return self.operators.total() + self.kernels.total()

    def clear(self) -> None:
        for counter in vars(self).values():
            counter.clear()

    def __str__(self) -> str:
        waits = "".join(f"\n  {count} x {what}" for what, count in self.waits.most_common())
        return (
            f"{self.num_waits} waits, {self.copies.total()} overlapping copies, "
            f"{self.operators.total()} operators, {self.kernels.total()} kernels{waits}"
        )


ledger = Ledger()


def where() -> str:
    """The innermost line of the package that is being run."""
    frame = sys._getframe(1)
    while frame is not None:
        _, found, place = frame.f_code.co_filename.rpartition(PACKAGE)
        # The copies' own module is no reason to copy.
        if found and place != "runtime/transfer.py":
            return f"{place}:{frame.f_lineno}"
        frame = frame.f_back
    return "a test"


class PretendTensor(torch.Tensor):
    """A tensor on the pretend device.

    Attributes:
        inner: the tensor of the processor that holds its values.
    """

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> PretendTensor:
        outer = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, layout=inner.layout, device=DEVICE,
        )  # fmt: skip
        outer.inner = inner
        return outer

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

    def tolist(self):
        return self.cpu().tolist()

    def new_tensor(self, data, dtype=None, device=DEVICE):
        return torch.tensor(data, dtype=dtype or self.dtype, device=device)

    def numpy(self, **kwargs):
        raise TypeError("can't convert a tensor of the pretend device to numpy: use Tensor.cpu()")

    def data_ptr(self):
        raise MixedDevices("memory of the pretend device was asked for outside of a kernel")

    def __reduce_ex__(self, protocol):
        return self.inner.__reduce_ex__(protocol)  # as what is loaded to the processor

    def __repr__(self, **kwargs):
        return f"PretendTensor({self.inner!r})"


class PretendMode(TorchDispatchMode):
    """Lets operators that are given no tensor, or the processor's alone, reach the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def on_device(x: object) -> bool:
    return isinstance(x, PretendTensor)


def inner_of(x: object) -> object:
    return x.inner if isinstance(x, PretendTensor) else x


# ---- memory that copies can overlap with, and generators ---------------------------------------


def is_pinned(tensor: torch.Tensor) -> bool:
    return getattr(tensor, "pretends_to_be_pinned", False)


def pin(tensor: torch.Tensor) -> torch.Tensor:
    tensor.pretends_to_be_pinned = True
    return tensor


_generators: dict[int, torch.Generator] = {}  # of the device, by what torch knows them by


def device_generator() -> torch.Generator:
    """A generator of the pretend device; its numbers are the processor's for the same seed."""
    generator = torch._C.Generator()
    _generators[generator._cdata] = generator  # kept, so that no other one is taken for it
    return generator


# ---- what an operator does ---------------------------------------------------------------------


def run(func, args: tuple, kwargs: dict):
    """One operator of torch, on whichever device its arguments say."""
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    here = any(map(on_device, tensors))
    if any(x.device == DEVICE and not on_device(x) for x in tensors):
        raise RuntimeError("a tensor of the device was made past the pretend machine")
    if func is aten._pin_memory.default:
        return pin(args[0].clone())
    if func is aten.is_pinned.default:
        return is_pinned(args[0])
    if func is aten._to_copy.default:
        return _to_copy(args[0], kwargs)
    if func is aten.copy_.default:
        return _copy_into(*args, **kwargs)
    if here:
        _refuse_mixture(func, args, tensors)
        _note_wait(func, args)
    kwargs, target, pinned = _without_device(kwargs)
    lives_here = here if target is None else target.type == DEVICE.type
    _check_generator(kwargs.get("generator"), lives_here)
    found = func(*tree_map(inner_of, args), **tree_map(inner_of, kwargs))
    if (here or lives_here) and _launches(func):
        ledger.operators[func._schema.name.removeprefix("aten::")] += 1
    if func is aten._local_scalar_dense.default:
        return found
    if pinned:
        return pin(found)
    return _outer(found, tensors) if lives_here else found


def _without_device(kwargs: dict) -> tuple[dict, torch.device | None, bool]:
    """The arguments for the processor, the device that was asked for, and whether to pin."""
    kwargs = dict(kwargs)
    pinned = bool(kwargs.pop("pin_memory", None))
    target = kwargs.get("device")
    if target is not None:
        target, kwargs["device"] = torch.device(target), HOST
    return kwargs, target, pinned


def _outer(found, tensors: list[torch.Tensor]):
    """Results as tensors of the device; what an operator wrote into is the tensor it was given."""
    given = {id(tensor.inner): tensor for tensor in tensors if on_device(tensor)}

    def wrap(x):
        if not isinstance(x, torch.Tensor):
            return x
        return given[id(x)] if id(x) in given else PretendTensor(x)

    return tree_map(wrap, found)


def _refuse_mixture(func, args: tuple, tensors: list[torch.Tensor]) -> None:
    """Raise MixedDevices where CUDA would refuse. A number in a tensor may come from anywhere."""
    strangers = [x for x in tensors if not on_device(x) and x.dim() > 0]
    if not strangers:
        return
    if func in _INDEXING and on_device(args[0]):
        ledger.wait("an index of the processor")
        return
    shapes = ", ".join(str(list(x.shape)) for x in strangers)
    raise MixedDevices(f"{func._schema.name} gets tensors of the processor too: {shapes}")


def _note_wait(func, args: tuple) -> None:
    name = func._schema.name.removeprefix("aten::")
    if func is aten._local_scalar_dense.default or func in _SIZED_BY_VALUES:
        ledger.wait(name.lstrip("_"))
    elif func is aten.repeat_interleave.Tensor:
        ledger.wait("repeats whose sum is asked for")
    elif func in _INDEXING:
        masks = [x for x in args[1] if x is not None and x.dtype in (torch.bool, torch.uint8)]
        if masks:
            ledger.wait("a mask as an index")


def _check_generator(generator: torch.Generator | None, lives_here: bool) -> None:
    if generator is not None and (generator._cdata in _generators) != lives_here:
        raise MixedDevices("a generator of one device draws numbers for the other")


def _launches(func) -> bool:
    """Whether a card would be given work: views and allocations give it none."""
    schema = func._schema
    if schema.name.removeprefix("aten::") in _ALLOCATING:
        return False
    if func in (aten.detach.default, aten.lift_fresh.default, aten._local_scalar_dense.default):
        return False
    aliases = [x.alias_info for x in schema.returns if x.alias_info is not None]
    return not aliases or any(alias.is_write for alias in aliases)


def _to_copy(source: torch.Tensor, kwargs: dict) -> torch.Tensor:
    """`Tensor.to`: to another type, device or both."""
    kwargs, target, pinned = _without_device(kwargs)
    overlaps = kwargs.pop("non_blocking", False)
    found = aten._to_copy.default(inner_of(source), **kwargs)
    begins = on_device(source)
    ends = begins if target is None else target.type == DEVICE.type
    if begins and ends:
        ledger.operators["_to_copy"] += 1
    elif begins:  # into memory that nobody pinned
        ledger.wait("a copy to the processor")
    elif ends and overlaps and is_pinned(source):
        ledger.copy("to the device")
    elif ends:
        ledger.wait("a copy to the device")
    if ends:
        return PretendTensor(found)
    return pin(found) if pinned else found


def _copy_into(target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False):
    """`Tensor.copy_`."""
    inner_of(target).copy_(inner_of(source))
    begins, ends = on_device(source), on_device(target)
    host = target if begins else source
    if begins and ends:
        ledger.operators["copy_"] += 1
    elif begins or (ends and source.dim() > 0):
        if non_blocking and is_pinned(host):
            ledger.copy("to the processor" if begins else "to the device")
        else:
            ledger.wait("a copy to the processor" if begins else "a copy to the device")
    elif ends:  # a number: it travels with the launch
        ledger.operators["fill_"] += 1
    return target


@contextlib.contextmanager
def counted() -> Iterator[Ledger]:
    """Count what the block asks of the device, and that alone."""
    ledger.clear()
    yield ledger
