"""The methods that nerfstudio lists: `ns-train taichi-pynerf` and `taichi-pynerf-synthetic`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.nerfstudio.model import PyNeRFStudioModelConfig
from taichi_pynerf.nerfstudio.training import (
    NetworkAdamConfig,
    PyNeRFDataManager,
    PyNeRFPipeline,
    PyNeRFStudioTrainer,
    TableRMSPropConfig,
    WarmupDecaySchedulerConfig,
)

DEVICE, PRESET = ("cuda", "gpu") if torch.cuda.is_available() else ("cpu", "cpu")


def trainer_config(
    method_name: str, dataparser: DataParserConfig, pynerf: PyNeRFConfig
) -> TrainerConfig:
    """A run of nerfstudio with the settings of a configuration."""

    def schedule() -> WarmupDecaySchedulerConfig:
        return WarmupDecaySchedulerConfig(
            warmup_steps=pynerf.warmup_steps, final=pynerf.final_learning_rate
        )

    rate, clip = pynerf.learning_rate, pynerf.gradient_clip or None
    return TrainerConfig(
        _target=PyNeRFStudioTrainer,
        method_name=method_name,
        machine=MachineConfig(device_type=DEVICE, seed=pynerf.seed),
        max_num_iterations=pynerf.max_steps,
        steps_per_save=2000,
        steps_per_eval_batch=500,
        steps_per_eval_image=500,
        steps_per_eval_all_images=25000,
        mixed_precision=False,  # the field has its own setting for it
        pipeline=VanillaPipelineConfig(
            _target=PyNeRFPipeline,
            datamanager=VanillaDataManagerConfig(
                _target=PyNeRFDataManager,
                dataparser=dataparser,
                train_num_rays_per_batch=pynerf.batch_size,
                eval_num_rays_per_batch=pynerf.batch_size,
            ),
            model=PyNeRFStudioModelConfig(pynerf=pynerf),
        ),
        optimizers={
            "tables": {"optimizer": TableRMSPropConfig(lr=rate), "scheduler": schedule()},
            "networks": {
                "optimizer": NetworkAdamConfig(lr=rate, max_norm=clip),
                "scheduler": schedule(),
            },
        },
        viewer=ViewerConfig(num_rays_per_chunk=2**15),
        vis="viewer",
    )


@dataclass
class ConvertedRunConfig(TrainerConfig):
    """A run whose folder is `output_dir/experiment_name`, without folders of method and time."""

    def get_base_dir(self) -> Path:
        return Path(self.output_dir) / self.experiment_name


real_scenes = MethodSpecification(
    trainer_config(
        "taichi-pynerf",
        NerfstudioDataParserConfig(),
        PyNeRFConfig.preset(PRESET, unbounded=True),
    ),
    "PyNeRF with Taichi kernels, for photographs: anti-aliased, on the CPU or CUDA",
)
synthetic_scenes = MethodSpecification(
    trainer_config(
        "taichi-pynerf-synthetic",
        BlenderDataParserConfig(),
        PyNeRFConfig.preset(PRESET),
    ),
    "PyNeRF with Taichi kernels, for objects on a plain background: anti-aliased, CPU or CUDA",
)
