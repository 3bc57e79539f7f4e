"""The flags of programs that choose a backend."""

import argparse

from taichi_pynerf.runtime.backend import BACKENDS, DEVICE_MEMORY_FRACTION, start


def add_backend_flags(group: argparse._ActionsContainer) -> None:
    """Add `--backend` and `--device_memory_fraction` to a parser or a group of flags."""
    group.add_argument(
        "--backend", choices=BACKENDS, default="auto", help="what the kernels run on"
    )
    group.add_argument(
        "--device_memory_fraction", type=float, default=DEVICE_MEMORY_FRACTION, metavar="SHARE",
        help="share of a CUDA device's memory that Taichi reserves",
    )  # fmt: skip


def start_backend(args: argparse.Namespace) -> str:
    """Start the backend that the flags choose; returns its name and raises as `start` does."""
    return start(args.backend, device_memory_fraction=args.device_memory_fraction)
