"""Starts `taichi_pynerf/apps/view.py`."""

from taichi_pynerf.apps.view import start

if __name__ == "__main__":
    start()
