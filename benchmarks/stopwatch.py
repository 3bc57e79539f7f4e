"""Time spent in named methods and in Taichi kernels, with counts of their calls."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import ModuleType

from taichi.lang import kernel_impl

from taichi_pynerf.kernels import launch


class Stopwatch:
    """Adds up seconds and calls by name, counting only the outermost watched call."""

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inside = False

    def timed(self, function, name: str):
        """The function, watched."""

        @functools.wraps(function)
        def watched(*args, **kwargs):
            if self._inside:
                return function(*args, **kwargs)
            self._inside = True
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += time.perf_counter() - started
                self.calls[name] += 1
                self._inside = False

        return watched

    @contextlib.contextmanager
    def watching(self, methods: dict[str, tuple[object, str]]) -> Iterator[None]:
        """Watch {name: (object, class or module, function)} in the block."""
        before = {name: getattr(owner, method) for name, (owner, method) in methods.items()}
        for name, (owner, method) in methods.items():
            setattr(owner, method, self.timed(before[name], name))
        try:
            yield
        finally:
            for name, (owner, method) in methods.items():
                if isinstance(owner, (type, ModuleType)):
                    setattr(owner, method, before[name])
                else:  # the class has it still
                    delattr(owner, method)


@contextlib.contextmanager
def kernel_times() -> Iterator[Stopwatch]:
    """Watch every launch of a Taichi kernel in the block; on a processor it lasts till its end."""
    watch = Stopwatch()
    unwatch = watch_launches(lambda launch_it, name, _: watch.timed(launch_it, name)())
    try:
        yield watch
    finally:
        unwatch()


def watch_launches(on_launch: Callable) -> Callable[[], None]:
    """Let `on_launch(launch_it, name, args)` make every launch of a kernel, ours or Taichi's own.

    What our kernels hand on to Taichi's is one launch.

    Returns:
        what ends it.
    """
    before = {kind: kind.__call__ for kind in (launch.Kernel, kernel_impl.Kernel)}
    inside = False

    def watched(call):
        def launch_watched(kernel, *args, **kwargs):
            nonlocal inside
            launch_it = functools.partial(call, kernel, *args, **kwargs)
            if inside:
                return launch_it()
            inside = True
            try:
                ours = isinstance(kernel, launch.Kernel)
                name = kernel.__name__ if ours else kernel.func.__name__
                return on_launch(launch_it, name, args)
            finally:
                inside = False

        return launch_watched

    def unwatch():
        for kind, call in before.items():
            kind.__call__ = call

    for kind, call in before.items():
        kind.__call__ = watched(call)
    return unwatch
