"""Direct launches of kernels, which skip Taichi's examination of the arguments.

At every launch Taichi 1.7 examines all arguments in Python. This takes about 50 us per tensor, or
half a millisecond for eight tensors, as long as many of our kernels run. Arguments of the same
kinds as in an earlier launch do not need this: here they go directly to the compiled kernel.

This uses private parts of Taichi. If one of them is missing, Taichi makes all launches itself,
which is slower and gives the same results. For debugging, TAICHI_PYNERF_PLAIN_LAUNCH=1 in the
environment has the same effect.
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
_GONE = (AttributeError, TypeError, KeyError)  # errors if a private part is missing or has changed


class _Compiled(NamedTuple):
    """A kernel compiled for arguments of certain kinds.

    Attributes:
        program: Taichi's program; the compiled kernel is valid as long as it lives.
        kernel, code: the kernel as Taichi and its compiler hold it.
        setters: per argument, the function that puts it into the context of a launch.
    """

    program: object
    kernel: object
    code: object
    setters: list[Callable]

    def context_of(self, args: tuple):
        """The context of a launch with these arguments."""
        context = self.kernel.make_launch_context()
        for place, (put, arg) in enumerate(zip(self.setters, args, strict=True)):
            put(context, (place,), arg)
        return context


class Kernel:
    """A Taichi kernel that takes arrays and numbers and returns nothing; see `kernel`.

    Attributes:
        grad: Taichi's own derivative of the kernel, launched by Taichi.
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
            args: numbers, Taichi arrays, and torch tensors that do not require a gradient. Taichi
                refuses other arguments when it meets them for the first time.
        """
        if not self._direct or len(args) != len(self._annotations):
            return self._taichi(*args)  # Taichi's error says what is missing
        kinds, program = tuple(map(_kind, args, self._element_dims)), _program()
        compiled = self._compiled.get(kinds)
        if compiled is not None and compiled.program is program:
            try:
                # Arguments that do not fit are refused before the launch begins.
                program.launch_kernel(compiled.code, compiled.context_of(args))
                return
            except _GONE as error:
                self._stay_plain(error)
        self._taichi(*args)
        if self._direct and None not in kinds:
            try:
                self._compiled[kinds] = found = self._find_compiled(args, program)
                found.context_of(args)  # a missing part shows now
            except _GONE as error:
                self._stay_plain(error)

    def _stay_plain(self, error: Exception) -> None:
        """Let Taichi launch this kernel from now on."""
        self._direct = False
        _tell(repr(error))

    def _find_compiled(self, args: tuple, program) -> _Compiled:
        """The compiled kernel that Taichi has just launched with these arguments."""
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
    """Decorator: `ti.kernel` with direct launches for arguments of known kinds."""
    return Kernel(function)


@functools.cache
def _tell(fault: str) -> None:
    """Warn once that launches are slower, and why."""
    version = ".".join(map(str, ti.__version__))
    warnings.warn(
        Notice(
            f"Taichi {version} is not as direct launches need it ({fault}): kernels are launched "
            "the slower way, some tenths of a millisecond each"
        ),
        stacklevel=4,
    )


def _program():
    """Taichi's running program; None if it cannot be found."""
    try:
        return impl.get_runtime().prog
    except AttributeError:
        return None


def _kind(arg, element_dims: int) -> Hashable:
    """All that Taichi examines of an argument; None if Taichi must examine it itself.

    Args:
        element_dims: number of an array's last dimensions that belong to its elements.
    """
    if isinstance(arg, int | float):
        return type(arg)
    if isinstance(arg, ti.Ndarray):
        return None if arg.grad is not None else (arg.dtype, arg.element_shape, len(arg.shape))
    if not hasattr(arg, "data_ptr") or arg.requires_grad or not arg.is_contiguous():
        return None
    if arg.is_cuda and ti.cfg.arch != ti.cuda:
        return None  # Taichi has to copy it to the device and back
    element_shape = tuple(arg.shape[arg.dim() - element_dims :])
    return arg.dtype, element_shape, arg.dim(), arg.is_cuda


def _setter(arg, annotation, element_dims: int) -> Callable:
    """The function that puts an argument of this kind into the context of a launch."""
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
