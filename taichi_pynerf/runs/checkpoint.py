"""Checkpoints: tensors and plain values only, written whole or not at all."""

from pathlib import Path
from typing import Any

import torch

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import CheckpointError, ConfigError
from taichi_pynerf.files import atomic_write
from taichi_pynerf.model.model import PyNeRF

FORMAT = "taichi_pynerf/1"
FILE_NAME = "checkpoint.pth"
# Settings that change the meaning of the same tensors.
_MODEL_FIELDS = (
    "num_levels",
    "base_resolution",
    "max_resolution",
    "scale_factor",
    "hash_table_size",
    "features_per_level",
    "share_feature_grid",
    "output_interpolation",
    "level_interpolation",
    "single_level",
    "cells_per_footprint",
    "hidden_dim",
    "num_layers",
    "geo_feature_dim",
    "aabb",
    "unbounded",
    "num_cascades",
    "occupancy_resolution",
)


def save_pyramid_model(
    model: PyNeRF,
    config: PyNeRFConfig,
    path: str | Path,
    training: dict[str, Any] | None = None,
    scene: dict[str, Any] | None = None,
) -> Path:
    """Write a checkpoint. If writing fails, an older file stays as it was.

    Args:
        model, config: the model and its configuration.
        path: the file to write.
        training: the trainer's state, to resume from.
        scene: the scene that the model was trained on, in plain values.

    Raises:
        CheckpointError: the file cannot be written.
    """
    content = {
        "format": FORMAT,
        "config": config.to_dict(),
        "model": model.state_dict(),
        "training": training,
        "scene": scene,
    }
    path = Path(path)
    try:
        with atomic_write(path) as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise CheckpointError(f"{path}: cannot write the checkpoint: {error}") from None
    return path


def load_pyramid_model(model: PyNeRF | None, path: str | Path) -> tuple[PyNeRF, PyNeRFConfig]:
    """Load a checkpoint into a model.

    Args:
        model: a model of the checkpoint's configuration, or None to build one.
        path: a checkpoint file, or a run folder that holds one.

    Returns:
        The model and the checkpoint's configuration.

    Raises:
        CheckpointError: the file is absent, damaged, of another kind or of another configuration.
    """
    content = read_checkpoint(path)
    return model_from_checkpoint(content, path, model), config_of(content, path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The checked content of a checkpoint file or of a run folder's checkpoint.

    Only tensors and plain values are read: a file that holds other Python objects is refused.

    Raises:
        CheckpointError: the file is absent, damaged or of another kind.
    """
    path = checkpoint_path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; train one with apps/train.py")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{path}: not a readable checkpoint (truncated, or of another program): {reason}"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a taichi_pynerf checkpoint of format {FORMAT}")
    missing = [key for key in ("config", "model") if not isinstance(content.get(key), dict)]
    if missing:
        raise CheckpointError(f"{path}: the checkpoint has no {' and no '.join(missing)}")
    return content


def checkpoint_path(path: str | Path) -> Path:
    """A run folder's checkpoint, or the path itself."""
    path = Path(path)
    return path / FILE_NAME if path.is_dir() else path


def config_of(content: dict[str, Any], path: str | Path) -> PyNeRFConfig:
    """The configuration inside a checkpoint's content."""
    try:
        return PyNeRFConfig.from_dict(content["config"])
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{path}: its configuration is not usable: {error}") from None


def differing_field(a: PyNeRFConfig, b: PyNeRFConfig) -> str | None:
    """The first setting that gives the same tensors another meaning; None if there is none."""
    return next((name for name in _MODEL_FIELDS if getattr(a, name) != getattr(b, name)), None)


def model_from_checkpoint(
    content: dict[str, Any], path: str | Path, model: PyNeRF | None = None
) -> PyNeRF:
    """A model with a checkpoint's tensors: the one given, or a new one."""
    if model is None:
        model = PyNeRF(config_of(content, path))
    config = config_of(content, path)
    name = differing_field(config, model.config)
    if name is not None:
        raise CheckpointError(
            f"{path}: the checkpoint is of another configuration ({name} is "
            f"{getattr(config, name)}, the model's is {getattr(model.config, name)}): build the "
            "model from the checkpoint's own config"
        )
    own, given = model.state_dict(), content["model"]
    different = sorted(
        name
        for name in own.keys() | given.keys()
        if name not in own
        or not torch.is_tensor(given.get(name))
        or own[name].shape != given[name].shape
    )
    if different:
        raise CheckpointError(
            f"{path}: the checkpoint is of another configuration ({len(different)} tensors differ, "
            f"the first is {different[0]}): build the model from the checkpoint's own config"
        )
    model.load_state_dict(given)
    return model
