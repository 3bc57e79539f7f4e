"""Starts `taichi_pynerf/apps/render.py`."""

from taichi_pynerf.apps.render import start

if __name__ == "__main__":
    start()
