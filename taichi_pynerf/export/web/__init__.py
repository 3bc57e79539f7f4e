"""A trained scene as a page that any browser with WebGPU or WebGL2 opens."""

from taichi_pynerf.export.web.page import check_folder
from taichi_pynerf.export.web.scene import PageOptions, check_can_export, write_web_scene

__all__ = ["PageOptions", "check_can_export", "check_folder", "write_web_scene"]
