"""Kernels that are launched without being looked over each time.

At every launch Taichi 1.7 examines all arguments anew, in Python: some 50 us a tensor, half a
millisecond for a kernel of eight, as long as many of ours run. Arguments of the same kinds as an
earlier launch need none of it: here they are handed straight to the compiled kernel.

That rests on private parts of Taichi. Where one of them is gone, all launches are Taichi's own,
slower and as right. For debugging, TAICHI_PYNERF_PLAIN_LAUNCH=1 in the environment gives the same.
"""

import functools
import os
import warnings
from collections.abc import Callable, Hashable
from typing import NamedTuple

import taichi as ti

from taichi_pynerf.errors import Notice

try:
    from taichi.lang import impl
except ImportError:
    impl = None

PLAIN_LAUNCH = "TAICHI_PYNERF_PLAIN_LAUNCH"
_GONE = (AttributeError, TypeError, KeyError)  # what a private part raises that is not as it was


class _Compiled(NamedTuple):
    """A kernel for arguments of some kinds.

    Attributes:
        program: Taichi's, whose life it shares.
        kernel, code: as Taichi and as its compiler know it.
        setters: per argument, the function that puts it at a place of a launch's context.
    """

    program: object
    kernel: object
    code: object
    setters: list[Callable]

    def context_of(self, args: tuple):
        """What a launch with these arguments needs."""
        context = self.kernel.make_launch_context()
        for place, (put, arg) in enumerate(zip(self.setters, args, strict=True)):
            put(context, (place,), arg)
        return context


class Kernel:
    """A Taichi kernel of arrays and numbers that returns nothing; see `kernel`.

    Attributes:
        grad: Taichi's own derivative of it, launched by Taichi.
    """

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function)
        self._taichi = ti.kernel(function)
        self.grad = self._taichi.grad
        self._direct = os.environ.get(PLAIN_LAUNCH) != "1"
        self._compiled: dict[tuple, _Compiled] = {}
        try:
            arguments = self._taichi._primal.arguments
            self._annotations = [argument.annotation for argument in arguments]
        except _GONE as error:
            self._stay_plain(error)
            return
        self._element_dims = [
            getattr(getattr(annotation, "dtype", None), "ndim", 0)
            for annotation in self._annotations
        ]

    def __call__(self, *args):
        """Launch it.

        Args:
            args: numbers, Taichi arrays, and torch tensors that want no gradient. What Taichi does
                not take, it refuses when it meets it for the first time.
        """
        if not self._direct or len(args) != len(self._annotations):
            return self._taichi(*args)  # says what is missing
        kinds, program = tuple(map(_kind, args, self._element_dims)), _program()
        compiled = self._compiled.get(kinds)
        if compiled is not None and compiled.program is program:
            try:
                # A launch that does not take its arguments refuses them before it begins.
                program.launch_kernel(compiled.code, compiled.context_of(args))
                return
            except _GONE as error:
                self._stay_plain(error)
        self._taichi(*args)
        if self._direct and None not in kinds:
            try:
                self._compiled[kinds] = found = self._find_compiled(args, program)
                found.context_of(args)  # so that what is gone is missed now
            except _GONE as error:
                self._stay_plain(error)

    def _stay_plain(self, error: Exception) -> None:
        """From now on let Taichi launch this kernel."""
        self._direct = False
        _tell(repr(error))

    def _find_compiled(self, args: tuple, program) -> _Compiled:
        """What Taichi has just launched with these arguments."""
        primal = self._taichi._primal
        found = primal.compiled_kernels[primal.ensure_compiled(*args)]
        code = program.compile_kernel(program.config(), program.get_device_caps(), found)
        setters = [
            _setter(arg, annotation, dims)
            for arg, annotation, dims in zip(
                args, self._annotations, self._element_dims, strict=True
            )
        ]
        return _Compiled(program, found, code, setters)


def kernel(function: Callable) -> Kernel:
    """Decorator: `ti.kernel`, for arguments of which Taichi need not know more than their kind."""
    return Kernel(function)


@functools.cache
def _tell(fault: str) -> None:
    """Say once why launches are slower."""
    version = ".".join(map(str, ti.__version__))
    warnings.warn(
        Notice(
            f"Taichi {version} is not as direct launches need it ({fault}): kernels are launched "
            "the slower way, some tenths of a millisecond each"
        ),
        stacklevel=4,
    )


def _program():
    """Taichi's running program; None if it cannot be told."""
    try:
        return impl.get_runtime().prog
    except AttributeError:
        return None


def _kind(arg, element_dims: int) -> Hashable:
    """All that Taichi asks of an argument; None where it is to ask itself.

    Args:
        element_dims: how many of an array's last dimensions are those of its elements.
    """
    if isinstance(arg, int | float):
        return type(arg)
    if isinstance(arg, ti.Ndarray):
        return None if arg.grad is not None else (arg.dtype, arg.element_shape, len(arg.shape))
    if not hasattr(arg, "data_ptr") or arg.requires_grad or not arg.is_contiguous():
        return None
    if arg.is_cuda and ti.cfg.arch != ti.cuda:
        return None  # Taichi would copy it there and back
    element_shape = tuple(arg.shape[arg.dim() - element_dims :])
    return arg.dtype, element_shape, arg.dim(), arg.is_cuda


def _setter(arg, annotation, element_dims: int) -> Callable:
    """How an argument of this kind is put into a launch's context."""
    if isinstance(arg, ti.Ndarray):
        return lambda context, place, array: context.set_arg_ndarray(place, array.arr)
    if isinstance(arg, int | float):
        if annotation in (ti.f32, ti.f64):
            return lambda context, place, number: context.set_arg_float(place, float(number))
        return lambda context, place, number: context.set_arg_int(place, number)

    def set_tensor(context, place, tensor):
        shape = tuple(tensor.shape[: tensor.dim() - element_dims])
        context.set_arg_external_array_with_shape(place, tensor.data_ptr(), tensor.nbytes, shape, 0)

    return set_tensor
