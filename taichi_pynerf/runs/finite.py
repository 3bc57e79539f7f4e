"""NaN and infinity in the tensors of a training: found, and named by tensor and place."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from taichi_pynerf.errors import TrainingError


def first_fault(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """The first number that is not finite, as "name[place] is value"; None if all are finite."""
    for name, tensor in tensors:
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            place = (~tensor.isfinite()).nonzero()[0].tolist()
            return f"{name}{place or ''} is {tensor[tuple(place)].item()}"
    return None


def tensors_in(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested dicts and lists, with dotted names.

    Levels that were trained nowhere are left out: they are infinite by design.
    """
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not str(key).startswith("trained_levels."):
                yield from tensors_in(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from tensors_in(item, f"{name}.{number}")


def fault_of_gradients(modules: Mapping[str, nn.Module]) -> str | None:
    """The first gradient that is not finite, in words; None if all are.

    Tables are left out, as they are large. Their gradients come through the networks, and are
    finite if the gradients of the networks are.

    Args:
        modules: {name: module}, the learned parts.
    """
    grads = {
        f"{part}.{name}": parameter.grad
        for part, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.grad is not None and not name.endswith(".table")
    }
    if not grads or bool(torch.stack([g.abs().max() for g in grads.values()]).isfinite().all()):
        return None
    return f"the gradient of {first_fault(grads.items())}"


def fault_of_training(model: nn.Module, state: dict) -> str | None:
    """The first number of a model and of its trainer's state that is not finite, in words."""
    return first_fault(tensors_in({"model": model.state_dict(), "training": state}))


def check_before_saving(path: Path, model: nn.Module, state: dict) -> None:
    """Refuse to write a checkpoint with a number that is not finite over an earlier one.

    Raises:
        TrainingError: there is such a number.
    """
    fault = fault_of_training(model, state)
    if fault is not None:
        earlier = "; the earlier checkpoint is kept" if path.exists() else ""
        raise TrainingError(
            f"{path}: not written at step {state['step']}, because {fault}{earlier}: train again "
            "with a lower --learning_rate or --gradient_clip 1"
        )
