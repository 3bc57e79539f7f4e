"""Starts `taichi_pynerf/apps/photos_to_scene.py`."""

from taichi_pynerf.apps.photos_to_scene import start

if __name__ == "__main__":
    start()
