"""Kernels that are launched without being looked over each time.

At every launch Taichi 1.7 examines all arguments anew, in Python: some 50 us a tensor, half a
millisecond for a kernel of eight, as long as many of ours run. Arguments of the same kinds as an
earlier launch need none of it: here they are handed straight to the compiled kernel.
"""

import functools
from collections.abc import Callable, Hashable
from typing import NamedTuple

import taichi as ti
from taichi.lang import impl


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


class Kernel:
    """A Taichi kernel of arrays and numbers that returns nothing; see `kernel`.

    Attributes:
        grad: Taichi's own derivative of it, launched by Taichi.
    """

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function)
        self._taichi = ti.kernel(function)
        self.grad = self._taichi.grad
        self._annotations = [argument.annotation for argument in self._taichi._primal.arguments]
        self._element_dims = [
            getattr(getattr(annotation, "dtype", None), "ndim", 0)
            for annotation in self._annotations
        ]
        self._compiled: dict[tuple, _Compiled] = {}

    def __call__(self, *args):
        """Launch it.

        Args:
            args: numbers, Taichi arrays, and torch tensors that want no gradient. What Taichi does
                not take, it refuses when it meets it for the first time.
        """
        if len(args) != len(self._annotations):
            return self._taichi(*args)  # says what is missing
        kinds = tuple(map(_kind, args, self._element_dims))
        compiled = self._compiled.get(kinds)
        program = impl.get_runtime().prog
        if compiled is None or compiled.program is not program:
            self._taichi(*args)
            if None not in kinds:
                self._compiled[kinds] = self._find_compiled(args, program)
            return
        context = compiled.kernel.make_launch_context()
        for place, (put, arg) in enumerate(zip(compiled.setters, args, strict=True)):
            put(context, (place,), arg)
        program.launch_kernel(compiled.code, context)

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
    if arg.is_cuda and impl.current_cfg().arch != ti.cuda:
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
