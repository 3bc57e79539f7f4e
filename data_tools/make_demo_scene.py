"""Starts `taichi_pynerf/apps/make_demo_scene.py`."""

from taichi_pynerf.apps.make_demo_scene import start

if __name__ == "__main__":
    start()
