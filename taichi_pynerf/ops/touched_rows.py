"""Marks of the rows of a table's gradient that have been added to, so that they need no search.

A step touches a tenth of a hash table's rows or fewer, and reading all of them takes longer than
stepping those. On the processor the adjoint of the encoding therefore marks the rows that it adds
to, one bit each, in a bitmap that fits the cache.

The marks are valid for a gradient that was zero when `mark_touched_rows` was called, as long as
only kernels add to it. If torch has changed it since, which torch's count of changes tells, all
rows count as touched.
"""

import torch
from torch.utils.weak import WeakTensorKeyDictionary

ROWS_PER_MARK = 32  # bits of a word of `marks`


class _Touched:
    """The marks of one gradient, and torch's count of its changes when they were last valid."""

    def __init__(self, grad: torch.Tensor):
        words = -(-grad.shape[0] // ROWS_PER_MARK)
        self.marks = torch.zeros(words, dtype=torch.int32)
        self.version = grad._version


_touched: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def mark_touched_rows(grad: torch.Tensor) -> torch.Tensor:
    """Mark, from now on, the rows of this gradient [E, F] that kernels add to. It must be zero.

    Returns:
        The gradient itself.
    """
    _touched[grad] = _Touched(grad)
    return grad


def marks_of(grad: torch.Tensor) -> torch.Tensor:
    """Words int32 [ceil(E / 32)] for kernels to mark: bit `e % 32` of word `e // 32` is row e.

    A gradient without marks gets a new bitmap, which nobody reads.
    """
    touched = _touched.get(grad)
    return _Touched(grad).marks if touched is None else touched.marks


def touched_rows(grad: torch.Tensor) -> torch.Tensor | None:
    """The marks, or None if they may not cover all rows that are not zero."""
    touched = _touched.get(grad)
    return touched.marks if touched is not None and touched.version == grad._version else None


def forget_touched_rows(grad: torch.Tensor) -> None:
    """Remove all marks, as the gradient is zero again."""
    touched = _touched.get(grad)
    if touched is not None:
        touched.marks.zero_()
        touched.version = grad._version


def touch_all_rows(grad: torch.Tensor) -> None:
    """Note that something other than a kernel has added to a gradient, unknown to torch."""
    touched = _touched.get(grad)
    if touched is not None:
        touched.version = -1
