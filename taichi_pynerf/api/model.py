"""Trained models: training and loading, rendering, films, metrics and saving."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from taichi_pynerf import runtime
from taichi_pynerf.api.camera import Camera
from taichi_pynerf.api.scenes import LoadedScene
from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.evaluation.evaluation import evaluate, metrics_for
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.model.images import RenderOptions, rays_bar, render_image
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.rendering.camera_paths import farthest
from taichi_pynerf.rendering.pictures import to_bytes
from taichi_pynerf.rendering.video import check_fps, write_video
from taichi_pynerf.runs.checkpoint import save_pyramid_model
from taichi_pynerf.runs.run_lock import run_folder_held
from taichi_pynerf.runs.runs import open_run
from taichi_pynerf.training.setup import (
    check_settings,
    clear_run_folder,
    fitted_preset,
    new_trainer,
    preset_for,
    stop_on_interrupt,
    with_limit,
    write_settings,
)
from taichi_pynerf.training.trainer import PyNeRFTrainer

SEEN = 0.5
"""Least opacity of a pixel that has a depth and a level."""


class Rendering(NamedTuple):
    """What a camera sees: `image, depth, level = model.render(camera)`.

    Attributes:
        image: [H, W, 3] float32 colours in [0, 1]; [H, W, 4] with straight alpha for a transparent
            render.
        depth: [H, W] float32, mean distance along the ray to what is seen, in the scene's units;
            NaN where the opacity is below 0.5.
        level: [H, W] float32, mean pyramid level of what is seen, 0 the coarsest; NaN as above.
    """

    image: np.ndarray
    depth: np.ndarray
    level: np.ndarray


class TrainedModel:
    """A trained field with its scene. Get one from `train` or `load`.

    Attributes:
        pynerf: the field itself, a `torch.nn.Module` in evaluation mode.
        scene: the scene.
        steps: number of steps of its training.
    """

    def __init__(self, pynerf: PyNeRF, scene: LoadedScene, steps: int) -> None:
        self.pynerf = pynerf.eval()
        self.scene = scene
        self.steps = steps

    def __repr__(self) -> str:
        return f"TrainedModel({self.num_levels} levels, {self.steps} steps, {self.scene!r})"

    @property
    def config(self) -> PyNeRFConfig:
        """All settings."""
        return self.pynerf.config

    @property
    def num_levels(self) -> int:
        """Number of pyramid levels; level 0 is the coarsest."""
        return len(self.pynerf.field.resolutions)

    def render(
        self,
        camera: Camera,
        *,
        level: float | None = None,
        supersample: int = 1,
        background: Sequence[float] | np.ndarray | None = None,
        transparent: bool = False,
        progress: bool = False,
    ) -> Rendering:
        """Render what a camera sees.

        Args:
            camera: any camera in the scene's coordinates.
            level: one pyramid level for all samples, 0 the coarsest; by default each sample's own.
            supersample: K renders K x K rays in each pixel and averages them.
            background: [3] colour behind the scene, in [0, 1]; by default the scene's.
            transparent: return colours with alpha, without a background.
            progress: show a progress bar.

        Raises:
            TypeError: `camera` is not a `Camera`.
            ConfigError: `level`, `supersample` or `background` is out of its range.
        """
        if not isinstance(camera, Camera):
            raise TypeError(
                f"camera must be a Camera, not {type(camera).__name__}: make one with "
                "Camera.from_pose(c2w, focal, width, height)"
            )
        options = self._options(level, supersample)
        if transparent and background is not None:
            raise ConfigError("a transparent render has no background: leave one of them out")
        behind = (0.0, 0.0, 0.0) if transparent else self._background(background)
        with rays_bar(camera.view, [0], options, progress) as bar:
            out = self._render(camera.view, 0, behind, options, bar.update)
        acc, rgb = out["acc"], out["rgb"]
        if transparent:
            straight = rgb / acc.clamp_min(1e-6).unsqueeze(-1)
            rgb = torch.cat([straight.clamp(0, 1), acc.clamp(0, 1).unsqueeze(-1)], -1)
        hidden = acc < SEEN
        return Rendering(
            rgb.numpy(),
            out["depth"].masked_fill(hidden, torch.nan).numpy(),
            out["level"].masked_fill(hidden, torch.nan).numpy(),
        )

    def render_video(
        self,
        path: str | Path,
        cameras: Sequence[Camera],
        *,
        fps: float = 24.0,
        level: float | None = None,
        supersample: int = 1,
        progress: bool = True,
    ) -> Path:
        """Render a film and write it completely or not at all.

        Args:
            path: a file that ends in .mp4 (with PyAV, the extra "video"), .webp or .gif.
            cameras: one for each frame, all of one size; `LoadedScene.camera_path` makes some.
            fps: frames per second.
            level, supersample, progress: as for `render`.

        Returns:
            The file.

        Raises:
            ConfigError: no cameras, or of several sizes, or a wrong option.
            ValueError: another suffix.
            MissingPackageError: an MP4 is asked for and PyAV is not installed.
            OSError: the file cannot be written.
        """
        sizes = {(camera.width, camera.height) for camera in cameras}
        if len(sizes) != 1:
            raise ConfigError(
                f"a film needs cameras of one size, not of {len(sizes)}: {sorted(sizes)}"
            )
        check_fps("fps", fps)
        options, path = self._options(level, supersample), Path(path)
        joined, behind = Cameras.cat([camera.view for camera in cameras]), self._background(None)

        def frames() -> Iterator[np.ndarray]:
            with rays_bar(joined, range(len(joined)), options, progress) as bar:
                for view in range(len(joined)):
                    yield to_bytes(self._render(joined, view, behind, options, bar.update)["rgb"])

        write_video(path, frames(), fps)
        return path

    def evaluate(self, split: str = "test", *, progress: bool = True) -> dict:
        """PSNR and SSIM on a split's photographs, at every scale that the scene is used at.

        Returns:
            {"psnr": mean, "ssim": mean, "scales": {"1": {"psnr": …, "ssim": …}, …},
            "images": one result per image}; PSNR in dB. If exposures were corrected, there are also
            "psnr_fitted" and "ssim_fitted": those of the right halves of the images, after an
            affine map of colours was fitted on the left halves.

        Raises:
            SceneError: the scene has no such split.
        """
        metrics = metrics_for(self.config)
        return evaluate(self.pynerf, self.scene.dataset(split), metrics=metrics, progress=progress)

    def save(self, path: str | Path) -> Path:
        """Write a checkpoint that `load` and the programs open.

        Its training cannot be resumed. For a run that `--resume` can continue, give `train` an
        `output_dir`.

        Raises:
            CheckpointError: the file cannot be written.
        """
        return save_pyramid_model(
            self.pynerf, self.config, path, {"step": self.steps}, self.scene.source.to_dict()
        )

    def _options(self, level: float | None, supersample: int) -> RenderOptions:
        if level is not None and not 0 <= level <= self.num_levels - 1:
            raise ConfigError(f"level is {level}: give None, or 0 to {self.num_levels - 1}")
        if not isinstance(supersample, int) or supersample < 1:
            raise ConfigError(f"supersample is {supersample!r}: give a whole number from 1 on")
        return RenderOptions(level, supersample)

    def _background(self, color: Sequence[float] | np.ndarray | None) -> torch.Tensor:
        if color is None:
            return torch.from_numpy(self.scene.background)
        try:
            chosen = np.asarray(color, dtype=np.float32)
        except (TypeError, ValueError):
            chosen = np.zeros(0, dtype=np.float32)
        if chosen.shape != (3,) or not ((chosen >= 0) & (chosen <= 1)).all():
            raise ConfigError(f"background is {color!r}: give three numbers from 0 to 1")
        return torch.from_numpy(chosen)

    def _render(
        self,
        cameras: Cameras,
        view: int,
        background: torch.Tensor | Sequence[float],
        options: RenderOptions,
        on_rays: Callable[[int], object],
    ) -> dict[str, torch.Tensor]:
        files = self.scene.files("train")
        far = farthest(cameras.select([view]), files.aabb, files.far)
        return render_image(
            self.pynerf, cameras, view, files.near, far, background, options, on_rays
        )


def load(run_or_file: str | Path, *, data_dir: str | Path | None = None) -> TrainedModel:
    """Open a trained model from a run folder or checkpoint file, of `ns-train taichi-pynerf` too.

    Args:
        run_or_file: the folder or the file.
        data_dir: the run's scene folder, if it has moved since.

    Raises:
        CheckpointError: it is absent, damaged, of another kind, or does not name its scene.
        SceneError: the scene is not where it was.
    """
    opened = open_run(run_or_file, data_dir)
    assert opened.source is not None  # it was asked for
    return TrainedModel(opened.model, LoadedScene(opened.source), opened.step)


def train(
    scene: LoadedScene,
    *,
    preset: str | None = None,
    output_dir: str | Path | None = None,
    scale_schedule: dict[int, int] | None = None,
    on_step: Callable[[PyNeRFTrainer, dict], None] | None = None,
    progress: bool = True,
    **settings: Any,
) -> TrainedModel:
    """Train a model on a scene, as the command line does.

    Ctrl-C, or a notebook's stop button, ends the training after the current step, and the model as
    trained so far is returned.

    Args:
        scene: the scene; if it has validation images, a few are rendered during training.
        preset: the settings to start from: "cpu", "gpu", "quality" or "default"; by default the
            one for the backend.
        output_dir: a run folder for settings, log and checkpoints, which the programs open and
            `--resume` continues. By default nothing is written.
        scale_schedule: {first step: finest image scale}, for scenes at several scales.
        on_step: called after each step with the trainer and the step's figures: "loss", "psnr", …
        progress: show a progress bar.
        settings: any of `PyNeRFConfig`: `max_steps`, `max_seconds`, `learning_rate`, `seed`, …
            The demo scene has 1,000 steps by default. `max_seconds` alone is the only limit.

    Raises:
        ConfigError: an unknown setting or a bad value.
        SceneError: the scene cannot be read.
        RunFolderError: another training writes into `output_dir`.
        TrainingError: the loss is not finite.

    Example:
        >>> model = train(load_scene(), max_seconds=60)
        >>> image, depth, level = model.render(model.scene.cameras("test")[0])
    """
    preset = preset or preset_for(runtime.start())
    source = scene.source
    settings = with_limit(settings, is_demo=source.data_dir is None)
    check_settings(preset, **settings)
    if scale_schedule and not source.several_scales:
        raise ConfigError("scale_schedule needs a scene at several scales: multiscale=True")
    run_dir = None if output_dir is None else Path(output_dir)
    with contextlib.ExitStack() as held:
        make_folder = None if run_dir is None else held.enter_context(run_folder_held(run_dir))
        dataset = scene.dataset("train")
        config = fitted_preset(preset, dataset, **settings)
        trainer = new_trainer(
            PyNeRF(config), config, dataset,
            scene.dataset("val") if "val" in scene.splits else None,
            source=source, scale_schedule=scale_schedule, output_dir=run_dir, progress=progress,
        )  # fmt: skip
        if run_dir is not None and make_folder is not None:
            make_folder()
            clear_run_folder(run_dir)
            write_settings(run_dir, config, source)
        with stop_on_interrupt(trainer):
            trainer.train(on_step)
            if run_dir is not None:
                trainer.save()
    return TrainedModel(trainer.model, scene, trainer.step)
