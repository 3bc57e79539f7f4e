"""taichi_pynerf: pyramidal neural radiance fields with Taichi kernels and PyTorch networks."""

import os

# After each parallel region torch's OpenMP workers spin for long, and take the cores from Taichi's
# workers, which run in between. If they slept at once, waking them for each of the hundreds of
# small regions would take longer still. So they spin for about the time until torch's next operator
# (docs/performance.md). torch reads these settings when it is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "4000")
os.environ.setdefault("ENABLE_TAICHI_HEADER_PRINT", "0")

__version__ = "0.1.0"

from taichi_pynerf.api.camera import Camera
from taichi_pynerf.api.model import Rendering, TrainedModel, load, train
from taichi_pynerf.api.scenes import LoadedScene, load_scene
from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.data.datasets import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.evaluation.metrics import compute_psnr, compute_ssim
from taichi_pynerf.model.encodings import PyramidEncoder
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.pyramid import (
    compute_sample_area,
    create_pyramid_hierarchy,
    get_pyramid_level,
    interpolate_pyramid_outputs,
)
from taichi_pynerf.model.renderer import PyramidRenderer
from taichi_pynerf.nerfstudio.convert import convert_to_nerfstudio_format
from taichi_pynerf.runs.checkpoint import load_pyramid_model, save_pyramid_model
from taichi_pynerf.runs.nerfstudio_runs import load_nerfstudio_run
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.training.trainer import PyNeRFTrainer

__all__ = [
    "Camera",
    "LoadedScene",
    "MultiScaleDataset",
    "MultiScaleTrainer",
    "PyNeRF",
    "PyNeRFConfig",
    "PyNeRFDataset",
    "PyNeRFTrainer",
    "PyramidEncoder",
    "PyramidRenderer",
    "Rendering",
    "TrainedModel",
    "compute_psnr",
    "compute_sample_area",
    "compute_ssim",
    "convert_to_nerfstudio_format",
    "create_pyramid_hierarchy",
    "get_pyramid_level",
    "interpolate_pyramid_outputs",
    "load",
    "load_nerfstudio_run",
    "load_pyramid_model",
    "load_scene",
    "save_pyramid_model",
    "train",
]
