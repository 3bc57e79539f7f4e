"""Training in several processes: each renders a share of every batch, and gradients are added up.

    torchrun --nproc_per_node=K apps/train.py …

Every process holds the whole model and draws the same batch of pixels from the same generator. It
renders one run of the batch's rays. The sum of the gradients is that of the whole batch, so the
model learns what one process would teach it, apart from the order of sums. (Losses that are means
over samples, not rays, are averaged over the shares instead.) Only the first process writes files
and shows progress.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist

from taichi_pynerf.errors import BackendError, Notice, TrainingError
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.ops.touched_rows import touch_all_rows
from taichi_pynerf.runtime.hardware import available_cpus

_CUDA_STATE_BYTES = 16  # torch's seed and offset of a generator; on the CPU there are thousands


class Workers:
    """The processes that train together, as one of them sees them. A lone process pays nothing.

    Attributes:
        rank: number of this process, from 0.
        count: how many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1):
        self.rank, self.count = rank, count

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, num_rays: int) -> slice:
        """Which rays of a batch are this process's; the shares differ by one ray at most."""
        return slice(self.rank * num_rays // self.count, (self.rank + 1) * num_rays // self.count)

    @contextlib.contextmanager
    def own_draws(
        self, generator: torch.Generator, num_rays: int, per_ray: int = 1
    ) -> Iterator[None]:
        """A block in which numbers are drawn for this process's share of the rays alone.

        The block draws them in one call, `per_ray` numbers for each ray (see
        `samples.draws_per_ray`). On the CPU they are the numbers that a lone process would have
        drawn for these rays. After the block all processes' generators are in the same state.
        """
        if self.count == 1:
            yield
            return
        state = generator.get_state()
        _skip(generator, per_ray * self.share(num_rays).start)
        yield
        generator.set_state(state)
        _skip(generator, per_ray * num_rays)

    def resume_draws(self, generator: torch.Generator, state: Any, seed: int) -> None:
        """Let a generator go on from the state that a checkpoint gives.

        The state of another kind of device means nothing to this one: the generator is seeded
        instead, and the first process tells.

        Raises:
            RuntimeError, TypeError: this is no state of a generator.
        """
        if not _is_of_other_device(generator, state):
            generator.set_state(state)
            return
        generator.manual_seed(seed)
        if self.first:
            text = f"the run was trained on another kind of device than {generator.device.type}"
            warnings.warn(Notice(f"{text}: its random draws differ from here on"), stacklevel=2)

    def sum(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Each figure's sum over the processes."""
        if self.count == 1:
            return dict(figures)
        values = torch.tensor(list(figures.values()), dtype=torch.float64)
        self._reduce(values, dist.ReduceOp.SUM)
        return dict(zip(figures, values.tolist(), strict=True))

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace gradients by their sums over the processes.

        A process whose rays met nothing adds zeros. What has a gradient in no process is left
        without: Adam would step it on zeros, too.
        """
        if self.count == 1:
            return
        parameters = list(parameters)
        found = torch.tensor([parameter.grad is not None for parameter in parameters]).int()
        self._reduce(found, dist.ReduceOp.MAX)
        for parameter in itertools.compress(parameters, found.tolist()):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            self._reduce(parameter.grad, dist.ReduceOp.SUM)
            touch_all_rows(parameter.grad)

    def agree(self, seconds: float, stop: bool) -> tuple[float, bool]:
        """The first process's seconds, and whether any process is to stop."""
        if self.count == 1:
            return seconds, stop
        found = self.sum({"seconds": seconds if self.first else 0.0, "stop": float(stop)})
        return found["seconds"], found["stop"] > 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return self.sum({"flag": float(flag)})["flag"] > 0

    def merge_trained_levels(self, model: PyNeRF) -> None:
        """Share with all processes which levels each trained, and where."""
        if self.count > 1:
            self._reduce(model.trained_levels.level_min, dist.ReduceOp.MIN)
            self._reduce(model.trained_levels.level_max, dist.ReduceOp.MAX)

    def copy_from_first(self, model: PyNeRF) -> None:
        """Give all processes the first one's weights and buffers."""
        if self.count > 1:
            with self._together():
                for tensor in (*model.parameters(), *model.buffers()):
                    dist.broadcast(tensor.detach(), 0)

    def close(self) -> None:
        """Leave the group of processes."""
        if self.count > 1:
            dist.destroy_process_group()

    def _reduce(self, tensor: torch.Tensor, operation: Any) -> None:
        with self._together():
            if dist.get_backend() == "nccl" and not tensor.is_cuda:  # NCCL takes nothing else
                on_device = tensor.cuda()
                dist.all_reduce(on_device, operation)
                tensor.copy_(on_device)
            else:
                dist.all_reduce(tensor, operation)

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """A block in which all processes exchange tensors.

        Raises:
            TrainingError: one of them has ended, or cannot be reached.
        """
        try:
            yield
        except RuntimeError as error:  # torch's own errors of the network are among these
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise TrainingError(
                f"another of the {self.count} processes has ended ({reason[:120]}): continue from "
                "the last checkpoint with --resume"
            ) from None


def _skip(generator: torch.Generator, count: int) -> None:
    torch.rand(count, generator=generator, device=generator.device)


def _is_of_other_device(generator: torch.Generator, state: Any) -> bool:
    """Whether this is the state of a generator, but on another kind of device.

    Raises:
        RuntimeError: it has the size of a state of the CPU, but is none.
    """
    if not torch.is_tensor(state) or state.dtype != torch.uint8:
        return False
    if generator.device.type == "cpu":
        return state.shape == (_CUDA_STATE_BYTES,)
    on_cpu = torch.Generator()
    if state.shape != on_cpu.get_state().shape:
        return False
    on_cpu.set_state(state)
    return True


def launched_by_torchrun() -> bool:
    """Whether this is one of several processes of `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def claim_device() -> None:
    """Take one CUDA device for this process, by the process's number on this machine.

    Call it before anything else touches CUDA: Taichi takes the first device that it sees. A process
    that no device is left for sees none, as NCCL wants one for each; see `join`. An empty list of
    visible devices means none, as for CUDA.
    """
    if launched_by_torchrun():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        local = int(os.environ.get("LOCAL_RANK", "0"))
        devices = visible.split(",") if visible is not None else list(map(str, range(local + 1)))
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[local] if local < len(devices) else "-1"


def join(backend: str) -> Workers:
    """Join the other processes of `torchrun`; without it, work alone.

    Args:
        backend: the backend that the kernels run on, as `runtime.start` returned it.

    Raises:
        BackendError: this backend trains in one process only, or others run on another backend,
            as where there are more processes than CUDA devices.
    """
    if not launched_by_torchrun():
        return Workers()
    if backend == "vulkan":
        raise BackendError(
            "backend 'vulkan' trains in one process only: start it without torchrun, or add "
            "--backend cpu"
        )
    torch.set_num_threads(available_cpus())  # torchrun limits torch to one thread
    if not dist.is_initialized():
        store, rank, count = next(dist.rendezvous("env://"))
        _check_same_backend(backend, store, rank, count)
        kind = "nccl" if backend == "cuda" else "gloo"
        dist.init_process_group(kind, store=store, rank=rank, world_size=count)
    return Workers(dist.get_rank(), dist.get_world_size())


def _check_same_backend(backend: str, store: dist.Store, rank: int, count: int) -> None:
    """Raise BackendError if another process runs on another backend: each would wait for ever."""
    store.set(f"backend {rank}", backend)
    backends = [store.get(f"backend {number}").decode() for number in range(count)]
    if len(set(backends)) > 1:
        found = ", ".join(f"{backends.count(name)} on {name}" for name in sorted(set(backends)))
        raise BackendError(
            f"the {count} processes do not run on the same backend ({found}): start no more of "
            "them on a machine than it has GPUs (--nproc_per_node), or add --backend cpu"
        )
