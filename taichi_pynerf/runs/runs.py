"""A run opened again: its model, its settings and its scene, from its folder or checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import CheckpointError, SceneError
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.runs.checkpoint import (
    checkpoint_path,
    config_of,
    model_from_checkpoint,
    read_checkpoint,
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
    """What a checkpoint holds, ready for use.

    Attributes:
        model: in evaluation mode, on the backend's device.
        config: its settings.
        source: where its images are; None if the checkpoint does not say.
        checkpoint: the checkpoint file.
        step: steps trained; 0 if the checkpoint does not say.
    """

    model: PyNeRF
    config: PyNeRFConfig
    source: SceneSource | None
    checkpoint: Path
    step: int

    @property
    def scene(self) -> SceneSource:
        """The source, where one is needed.

        Raises:
            CheckpointError: the checkpoint names none.
        """
        if self.source is None:
            raise CheckpointError(f"{self.checkpoint}: the checkpoint does not say its scene")
        return self.source

    @property
    def folder(self) -> Path:
        """The run folder."""
        parent = self.checkpoint.absolute().parent
        return parent.parent if parent.name == MODELS_DIR else parent

    @property
    def name(self) -> str:
        """The run folder's name."""
        return self.folder.name


def open_run(
    run_or_file: str | Path, data_dir: str | Path | None = None, *, needs_scene: bool = True
) -> Run:
    """Open a run for rendering, viewing or export.

    Args:
        run_or_file: a run folder, or a checkpoint file; of nerfstudio's method too.
        data_dir: where the run's scene is now, if it has moved since.
        needs_scene: refuse a checkpoint that names no scene, as one saved from Python may.

    Raises:
        CheckpointError: the checkpoint is absent, damaged, of another kind, or names no scene.
    """
    if is_nerfstudio_run(run_or_file):
        content = read_nerfstudio_run(run_or_file)
        checkpoint = newest_checkpoint(run_or_file)
    else:
        content, checkpoint = read_checkpoint(run_or_file), checkpoint_path(run_or_file)
    has_scene = needs_scene or content.get("scene") is not None
    source = source_of(content, run_or_file) if has_scene else None
    if data_dir is not None:
        source = source.at(data_dir) if source else SceneSource(str(data_dir))
    model = model_from_checkpoint(content, run_or_file).eval()
    return Run(
        model=model,
        config=config_of(content, run_or_file),
        source=source,
        checkpoint=checkpoint,
        step=int((content.get("training") or {}).get("step", 0)),
    )


def source_of(content: dict, run_or_file: str | Path) -> SceneSource:
    """The scene that a checkpoint's content is of.

    Raises:
        CheckpointError: the content does not say it.
    """
    try:
        return SceneSource.from_dict(content.get("scene"))
    except (SceneError, TypeError):
        raise CheckpointError(
            f"{run_or_file}: the checkpoint does not say which scene it is of; train anew"
        ) from None
