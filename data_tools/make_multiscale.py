"""Starts `taichi_pynerf/apps/make_multiscale.py`."""

from taichi_pynerf.apps.make_multiscale import start

if __name__ == "__main__":
    start()
