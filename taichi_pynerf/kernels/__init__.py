"""Taichi kernels, without torch: `taichi_pynerf.ops` connects them to torch."""
