"""Which rows of a table's gradient have been added to, so that nobody has to look for them.

A step touches one row of a hash table in ten or fewer, and a look at all of them takes longer than
stepping those. On the processor the adjoint of the encoding therefore marks the rows that it adds
to, one bit each, in a bitmap that fits the cache.

The marks hold for a gradient that was zero when `mark_touched_rows` was called, and as long as none
but kernels add to it. Where torch has changed it in between, which its count of changes tells, all
rows count as touched.
"""

import torch
from torch.utils.weak import WeakTensorKeyDictionary

ROWS_PER_MARK = 32  # bits of the words that `marks` has


class _Touched:
    """The marks of one gradient, and torch's count of its changes when these held last."""

    def __init__(self, grad: torch.Tensor):
        words = -(-grad.shape[0] // ROWS_PER_MARK)
        self.marks = torch.zeros(words, dtype=torch.int32)
        self.version = grad._version


_touched: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def mark_touched_rows(grad: torch.Tensor) -> torch.Tensor:
    """From now on mark the rows of this gradient [E, F], all zero, that kernels add to.

    Returns:
        The gradient itself.
    """
    _touched[grad] = _Touched(grad)
    return grad


def marks_of(grad: torch.Tensor) -> torch.Tensor:
    """int32 [ceil(E / 32)] words, bit `e % 32` of word `e // 32` for row e: what kernels mark.

    A gradient without marks gets new ones, which nobody looks at.
    """
    touched = _touched.get(grad)
    return _Touched(grad).marks if touched is None else touched.marks


def touched_rows(grad: torch.Tensor) -> torch.Tensor | None:
    """The marks, or None where they do not tell all rows that are not zero."""
    touched = _touched.get(grad)
    return touched.marks if touched is not None and touched.version == grad._version else None


def forget_touched_rows(grad: torch.Tensor) -> None:
    """Take away all marks: the gradient is zero again."""
    touched = _touched.get(grad)
    if touched is not None:
        touched.marks.zero_()
        touched.version = grad._version


def touch_all_rows(grad: torch.Tensor) -> None:
    """Note that others than kernels have added to a gradient, without torch's knowledge."""
    touched = _touched.get(grad)
    if touched is not None:
        touched.version = -1
