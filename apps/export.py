"""Starts `taichi_pynerf/apps/export.py`."""

from taichi_pynerf.apps.export import start

if __name__ == "__main__":
    start()
