"""Taichi kernels. No torch here: `taichi_pynerf.ops` joins these to torch."""
