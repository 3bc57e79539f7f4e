"""Checkpoints: tensors and plain values only, written whole or not at all."""

import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import CheckpointError, ConfigError
from taichi_pynerf.files import atomic_write
from taichi_pynerf.model.encodings import table_bytes
from taichi_pynerf.model.model import PyNeRF

FORMAT = "taichi_pynerf/1"
FILE_NAME = "checkpoint.pth"
# What tensors and plain values are made of. torch itself allows more when it loads "weights only",
# such as bytearray, of which a file of a kilobyte can ask for gigabytes.
_BUILDERS = (
    r"collections (OrderedDict|Counter)|torch \w*Storage|torch\.storage \w*Storage|"
    r"torch\._utils _rebuild_(tensor_v2|parameter)|torch (Size|device|\w*(float|int|bool)\w*)"
)
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
    content = load_tensors(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a taichi_pynerf checkpoint of format {FORMAT}")
    missing = [key for key in ("config", "model") if not isinstance(content.get(key), dict)]
    if missing:
        raise CheckpointError(f"{path}: the checkpoint has no {' and no '.join(missing)}")
    return content


def load_tensors(path: Path) -> Any:
    """The content of a file of torch: tensors and plain values, without running any code.

    Raises:
        CheckpointError: the file is damaged, of another program, or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            # torch compresses nothing and stores everything once. Anything else is made to burst.
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError("its parts are compressed")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise ValueError("its parts claim to be larger than the file")
            for entry in entries:
                if entry.filename.lower().endswith(".pkl"):  # torch finds it in any case
                    _check_builders(archive.read(entry))
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(
            f"{path}: not a readable checkpoint (truncated, or of another program): {reason[:200]}"
        ) from None


def _check_builders(pickled: bytes) -> None:
    """Refuse a pickle that names anything but what tensors and plain values are made of.

    Raises:
        ValueError: it does, or it is no pickle.
    """
    for opcode, name, _ in pickletools.genops(pickled):
        # Names on the stack are not followed; torch does not write them.
        if opcode.name == "STACK_GLOBAL":
            raise ValueError("it is no pickle of torch")
        if opcode.name in ("GLOBAL", "INST") and not re.fullmatch(_BUILDERS, str(name)):
            raise ValueError(f"it holds {str(name).replace(' ', '.')}, no tensor or plain value")


def check_size(config: PyNeRFConfig, tensors: dict[str, Any], path: str | Path) -> None:
    """Refuse settings that ask for a larger model than a checkpoint's tensors are.

    Otherwise a few bytes could make the program allocate all memory, before shapes are compared.

    Raises:
        CheckpointError: the tensors are too few or too small.
    """
    if not isinstance(config.max_resolution, int):
        raise CheckpointError(f'{path}: its max_resolution is "{config.max_resolution}"')
    try:
        tables = table_bytes(config)
    except ValueError as error:
        raise CheckpointError(f"{path}: its configuration is not usable: {error}") from None
    networks = config.hidden_dim**2 * (config.num_layers - 2)
    networks += config.hidden_dim * config.geo_feature_dim
    cascades = config.num_cascades if config.unbounded else 1
    grid = cascades * config.occupancy_resolution**3
    needed = tables + 4 * (networks + grid)
    plain = (x for x in tensors.values() if isinstance(x, torch.Tensor) and _is_plain(x))
    stored = sum(x.untyped_storage().nbytes() for x in plain)
    if needed > stored:
        raise CheckpointError(
            f"{path}: the checkpoint is of another configuration: its settings ask for {needed:,} "
            f"bytes, and its tensors have {stored:,}"
        )


def checkpoint_path(path: str | Path) -> Path:
    """A run folder's checkpoint, or the path itself."""
    path = Path(path)
    return path / FILE_NAME if path.is_dir() else path


def config_of(content: dict[str, Any], path: str | Path) -> PyNeRFConfig:
    """The configuration inside a checkpoint's content."""
    try:
        return PyNeRFConfig.from_dict(content["config"])
    except (ConfigError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: its configuration is not usable: {error}") from None


def step_of(content: dict[str, Any]) -> int:
    """The number of steps trained, as a checkpoint's content says; 0 if it does not."""
    training = content.get("training")
    step = training.get("step") if isinstance(training, dict) else None
    return step if isinstance(step, int) and step >= 0 else 0


def differing_field(a: PyNeRFConfig, b: PyNeRFConfig) -> str | None:
    """The first setting that gives the same tensors another meaning; None if there is none."""
    return next((name for name in _MODEL_FIELDS if getattr(a, name) != getattr(b, name)), None)


def model_from_checkpoint(
    content: dict[str, Any], path: str | Path, model: PyNeRF | None = None
) -> PyNeRF:
    """A model with a checkpoint's tensors: the one given, or a new one."""
    config = config_of(content, path)
    if model is None:
        check_size(config, content["model"], path)
        model = PyNeRF(config)
    name = differing_field(config, model.config)
    if name is not None:
        raise CheckpointError(
            f"{path}: the checkpoint is of another configuration ({name} is "
            f"{getattr(config, name)}, the model's is {getattr(model.config, name)}): build the "
            "model from the checkpoint's own config"
        )
    own, given = model.state_dict(), content["model"]
    different = sorted(
        str(name)
        for name in own.keys() | given.keys()
        if name not in own or not _fits(given.get(name), own[name])
    )
    if different:
        raise CheckpointError(
            f"{path}: the checkpoint is of another configuration ({len(different)} tensors differ, "
            f"the first is {different[0]}): build the model from the checkpoint's own config"
        )
    model.load_state_dict(given)
    return model


def _fits(given: Any, own: torch.Tensor) -> bool:
    """Whether a value can stand for a tensor: a plain tensor of the same shape and type."""
    return (
        isinstance(given, torch.Tensor)
        and _is_plain(given)
        and given.shape == own.shape
        and given.dtype == own.dtype
    )


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether all numbers of a tensor are in main memory, one after the other."""
    plain = tensor.layout == torch.strided and not tensor.is_quantized
    return plain and tensor.device.type == "cpu"
