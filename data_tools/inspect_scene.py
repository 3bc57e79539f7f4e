"""Starts `taichi_pynerf/apps/inspect_scene.py`."""

from taichi_pynerf.apps.inspect_scene import start

if __name__ == "__main__":
    start()
