"""A run of `ns-train taichi-pynerf`, read as a checkpoint of this package.

nerfstudio need not be installed. Reading its `config.yml` can run code, so it is not read: the
checkpoint has the settings too, in plain values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import CheckpointError
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.runs.checkpoint import FORMAT, config_of, load_tensors, model_from_checkpoint

MODELS_DIR = "nerfstudio_models"
MODEL_PREFIX = "_model.pynerf."
STATE_KEY = "_model._extra_state"


def is_nerfstudio_run(path: str | Path) -> bool:
    """Whether a path names a run of nerfstudio: its folder, its config.yml or a checkpoint."""
    path = Path(path)
    return path.suffix == ".ckpt" or path.name == "config.yml" or (path / MODELS_DIR).is_dir()


def load_nerfstudio_run(path: str | Path) -> tuple[PyNeRF, PyNeRFConfig]:
    """The model of a run of nerfstudio, in evaluation mode, and its configuration.

    Args:
        path: the run's folder, its config.yml, or one checkpoint; of several checkpoints the
            newest is taken.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged or of another method.
    """
    content = read_nerfstudio_run(path)
    return model_from_checkpoint(content, path).eval(), config_of(content, path)


def read_nerfstudio_run(path: str | Path) -> dict[str, Any]:
    """The content that a checkpoint of this package would have; see `load_nerfstudio_run`.

    Its training cannot be resumed here, as the content has only the step.
    """
    file = newest_checkpoint(path)
    try:
        loaded = load_tensors(file)
        pipeline, step = loaded["pipeline"], int(loaded["step"])
        state = pipeline[STATE_KEY]
        config, scene = state["config"], state["scene"]
        model = {
            name.removeprefix(MODEL_PREFIX): tensor
            for name, tensor in pipeline.items()
            if name.startswith(MODEL_PREFIX)
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{file}: not a checkpoint of nerfstudio's methods taichi-pynerf and "
            "taichi-pynerf-synthetic"
        ) from None
    return {
        "format": FORMAT,
        "config": config,
        "model": model,
        "training": {"step": step + 1},  # nerfstudio counts from 0
        "scene": scene,
    }


def newest_checkpoint(path: str | Path) -> Path:
    """The newest checkpoint of a run of nerfstudio.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path)
    if path.suffix == ".ckpt":
        if not path.is_file():
            raise CheckpointError(f"{path}: there is no such file")
        return path
    folder = path.parent if path.name == "config.yml" else path
    found = sorted((folder / MODELS_DIR).glob("step-*.ckpt"))
    if not found:
        raise CheckpointError(f"{path}: there is no {MODELS_DIR}/step-*.ckpt")
    return found[-1]
