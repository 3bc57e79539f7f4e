"""Whole pictures of a trained model: images, films, sheets, and tables of how good they are."""

from taichi_pynerf.model.images import RenderOptions, render_image, render_path

__all__ = ["RenderOptions", "render_image", "render_path"]
