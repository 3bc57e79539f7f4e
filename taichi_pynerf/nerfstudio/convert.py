"""A trained model as a run of nerfstudio, which `ns-viewer`, `ns-eval` and `ns-render` open."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.data.authoring.scene_folder import new_scene_folder
from taichi_pynerf.data.scene_files import SceneFiles
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.extras import optional
from taichi_pynerf.geometry.cameras import Cameras, look_at
from taichi_pynerf.model.images import render_image
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.rendering.pictures import to_bytes
from taichi_pynerf.runs.checkpoint import differing_field
from taichi_pynerf.runs.nerfstudio_runs import MODEL_PREFIX, MODELS_DIR, STATE_KEY
from taichi_pynerf.runs.scene_source import SceneSource

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig

VIEWS_DIR = "views"
NUM_VIEWS, VIEW_SIZE, VIEW_ANGLE = 8, 64, math.radians(50.0)


def convert_to_nerfstudio_format(
    model: PyNeRF,
    config: PyNeRFConfig,
    output_path: str | Path,
    source: SceneSource | None = None,
    step: int = 0,
) -> Path:
    """Write a run folder that nerfstudio's tools open, with this package as its plugin.

    The folder holds `config.yml`, `dataparser_transforms.json` and `nerfstudio_models/`. The run
    can be viewed, evaluated, rendered, and trained further with new optimizers. If the folder is
    moved, its config.yml must be edited. nerfstudio needs training images: without a `source`, a
    few small renders of the model, in `views/`, take their place.

    Args:
        model, config: the model and its configuration.
        output_path: the folder to make; new or empty.
        source: the images that the model was trained on.
        step: number of steps trained.

    Returns:
        The path of config.yml, for `--load-config`.

    Raises:
        ConfigError: the configuration is not the model's.
        MissingPackageError: nerfstudio is not installed.
        SceneError: the scene cannot be read, or `output_path` is not empty or not writable.
    """
    optional("nerfstudio.engine.trainer", "nerfstudio")
    yaml = optional("yaml", "nerfstudio")
    name = differing_field(config, model.config)
    if name is not None:
        raise ConfigError(
            f"the configuration is not the model's: {name} is {getattr(config, name)}, the model's "
            f"is {getattr(model.config, name)}"
        )
    output_path = Path(output_path).absolute()
    with new_scene_folder(output_path) as folder:
        if source is None:
            write_own_views(model, folder / VIEWS_DIR)
            files = SceneSource(str(folder / VIEWS_DIR), "blender").files("train")
            source = SceneSource(str(output_path / VIEWS_DIR), "blender")
        else:
            files = source.files("train")
        run_config = studio_config(config, output_path, source, files)
        (folder / "config.yml").write_text(yaml.dump(run_config), encoding="utf-8")
        transform = {
            "transform": files.transform.matrix.tolist(),
            "scale": float(files.transform.scale),
        }
        text = json.dumps(transform, indent=4)
        (folder / "dataparser_transforms.json").write_text(text, encoding="utf-8")
        (folder / MODELS_DIR).mkdir()
        last_step = max(step - 1, 0)  # nerfstudio counts from 0
        torch.save(
            checkpoint_content(model, config, source, last_step),
            folder / MODELS_DIR / f"step-{last_step:09d}.ckpt",
        )
    return output_path / "config.yml"


def studio_config(
    config: PyNeRFConfig, output_path: Path, source: SceneSource, files: SceneFiles
) -> TrainerConfig:
    """The configuration that `ns-train` would have saved for a run in `output_path`."""
    from taichi_pynerf.nerfstudio.data import parser_of_source
    from taichi_pynerf.nerfstudio.methods import ConvertedRunConfig, trainer_config

    dataparser = parser_of_source(source)
    method = "taichi-pynerf" if config.unbounded else "taichi-pynerf-synthetic"
    run = ConvertedRunConfig(**vars(trainer_config(method, dataparser, config)))
    run.output_dir, run.experiment_name = output_path.parent, output_path.name
    run.timestamp = "converted"
    run.relative_model_dir = output_path / MODELS_DIR  # an absolute path replaces the base folder
    run.pipeline.datamanager.data = dataparser.data
    run.pipeline.datamanager.camera_res_scale_factor = files.reduction / source.img_downscale
    model = run.pipeline.model
    model.fit_to_scene = False
    model.near_plane, model.far_plane = files.near, files.far
    return run


def checkpoint_content(
    model: PyNeRF, config: PyNeRFConfig, source: SceneSource, last_step: int
) -> dict:
    """The content of a checkpoint of nerfstudio's trainer: only tensors and plain values."""
    tensors = {MODEL_PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    return {
        "step": last_step,
        "pipeline": {
            **tensors,
            "_model.device_indicator_param": torch.empty(0),
            STATE_KEY: {"config": config.to_dict(), "scene": source.to_dict()},
        },
        "optimizers": {},
        "schedulers": {},
        "scalers": {},
    }


def write_own_views(model: PyNeRF, folder: Path) -> None:
    """Write small renders of the model from all around, as a scene folder in Blender's format."""
    box = model.renderer.box
    radius = 0.4 * box.size if box.unbounded else 1.6 * box.size
    center = torch.tensor(box.center)
    angles = torch.arange(NUM_VIEWS) * (2 * math.pi / NUM_VIEWS)
    around = torch.stack([angles.cos(), angles.sin(), torch.full_like(angles, 0.5)], -1)
    ones = torch.ones(NUM_VIEWS)
    focal = 0.5 * VIEW_SIZE / math.tan(0.5 * VIEW_ANGLE)
    cameras = Cameras(
        c2w=torch.stack([look_at(center + radius * place, center) for place in around]),
        fx=focal * ones,
        fy=focal * ones,
        cx=0.5 * VIEW_SIZE * ones,
        cy=0.5 * VIEW_SIZE * ones,
        width=(VIEW_SIZE * ones).long(),
        height=(VIEW_SIZE * ones).long(),
    )
    (folder / "train").mkdir(parents=True)
    frames = []
    for view in range(NUM_VIEWS):
        pixels = render_image(model.eval(), cameras, view, 0.0, 4 * radius)["rgb"]
        Image.fromarray(to_bytes(pixels)).save(folder / "train" / f"{view}.png")
        pose = [*cameras.c2w[view].tolist(), [0.0, 0.0, 0.0, 1.0]]
        frames.append({"file_path": f"train/{view}", "transform_matrix": pose})
    content = {"camera_angle_x": VIEW_ANGLE, "frames": frames}
    (folder / "transforms_train.json").write_text(json.dumps(content), encoding="utf-8")
