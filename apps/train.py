"""Starts `taichi_pynerf/apps/train.py`."""

from taichi_pynerf.apps.train import start

if __name__ == "__main__":
    start()
