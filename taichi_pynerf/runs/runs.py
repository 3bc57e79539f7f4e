"""Opening a run from its folder or checkpoint: model, settings and scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import CheckpointError, SceneError
from taichi_pynerf.evaluation.exif_exposure import ExposureResponse, response_in
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.runs.checkpoint import (
    checkpoint_path,
    config_of,
    model_from_checkpoint,
    read_checkpoint,
    step_of,
)
from taichi_pynerf.runs.nerfstudio_runs import (
    MODELS_DIR,
    is_nerfstudio_run,
    newest_checkpoint,
    read_nerfstudio_run,
)
from taichi_pynerf.runs.scene_source import SceneSource


@dataclass(frozen=True)
class Run:
    """The content of a checkpoint, ready for use.

    Attributes:
        model: the model, in evaluation mode, on the backend's device.
        config: its settings.
        source: the place of its images; None if the checkpoint does not say.
        checkpoint: the checkpoint file.
        step: number of steps trained; 0 if the checkpoint does not say.
        response: how colours follow the exposures by EXIF; None if that was not learned.
    """

    model: PyNeRF
    config: PyNeRFConfig
    source: SceneSource | None
    checkpoint: Path
    step: int
    response: ExposureResponse | None = None

    @property
    def scene(self) -> SceneSource:
        """The source, where it is needed.

        Raises:
            CheckpointError: the checkpoint does not name its scene.
        """
        if self.source is None:
            raise CheckpointError(f"{self.checkpoint}: the checkpoint does not say its scene")
        return self.source

    @property
    def folder(self) -> Path:
        """The run folder; ns-train keeps its checkpoints in a folder of their own below it."""
        parent = self.checkpoint.parent
        above = parent.absolute()
        return above.parent if above.name == MODELS_DIR else parent

    @property
    def name(self) -> str:
        """The run folder's name."""
        return self.folder.absolute().name


def open_run(
    run_or_file: str | Path, data_dir: str | Path | None = None, *, needs_scene: bool = True
) -> Run:
    """Open a run for rendering, viewing or export.

    Args:
        run_or_file: a run folder or a checkpoint file, of `ns-train taichi-pynerf` too.
        data_dir: the scene folder, if it has moved since the training.
        needs_scene: refuse a checkpoint without a scene, such as one saved from Python, unless
            `data_dir` says which it is.

    Raises:
        CheckpointError: the checkpoint is absent, damaged, of another kind, or names no scene.
    """
    if is_nerfstudio_run(run_or_file):
        content = read_nerfstudio_run(run_or_file)
        checkpoint = newest_checkpoint(run_or_file)
    else:
        content, checkpoint = read_checkpoint(run_or_file), checkpoint_path(run_or_file)
    source = None
    if needs_scene or data_dir is not None or content.get("scene") is not None:
        source = source_of(content, run_or_file, data_dir)
    model = model_from_checkpoint(content, run_or_file).eval()
    return Run(
        model=model,
        config=config_of(content, run_or_file),
        source=source,
        checkpoint=checkpoint,
        step=step_of(content),
        response=response_in(content.get("training")),
    )


def source_of(
    content: dict, run_or_file: str | Path, data_dir: str | Path | None = None
) -> SceneSource:
    """The scene that a checkpoint was trained on.

    Args:
        content: the checkpoint.
        run_or_file: where it is from, for messages.
        data_dir: the scene folder, if it has moved since, or if the checkpoint does not say.

    Raises:
        CheckpointError: neither says.
    """
    if data_dir is not None and content.get("scene") is None:
        return SceneSource(str(data_dir))
    try:
        source = SceneSource.from_dict(content.get("scene"))
    except (SceneError, TypeError):
        raise CheckpointError(
            f"{run_or_file}: the checkpoint does not say which scene it is of: --data_dir says it"
        ) from None
    return source if data_dir is None else source.at(data_dir)
