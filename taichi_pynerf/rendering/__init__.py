"""Output of a trained model: images, films, contact sheets, and tables of metrics."""

from taichi_pynerf.model.images import RenderOptions, render_image, render_path

__all__ = ["RenderOptions", "render_image", "render_path"]
