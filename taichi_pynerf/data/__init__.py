"""Scenes: images with cameras, from files to batches of rays."""

from taichi_pynerf.data.datasets import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.data.loading import load_split
from taichi_pynerf.data.locating import detect_dataset_type
from taichi_pynerf.data.placement import Placement, SceneTransform
from taichi_pynerf.data.scene import Scene

__all__ = [
    "MultiScaleDataset",
    "Placement",
    "PyNeRFDataset",
    "Scene",
    "SceneTransform",
    "detect_dataset_type",
    "load_split",
]
