"""Scenes: images with cameras, from files to batches of rays."""

from taichi_pynerf.data.datasets import Batch, MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.data.scene import Scene, detect_dataset_type, load_scene

__all__ = [
    "Batch",
    "MultiScaleDataset",
    "PyNeRFDataset",
    "Scene",
    "detect_dataset_type",
    "load_scene",
]
