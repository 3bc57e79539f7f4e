"""What the training loop in `taichi_pynerf.trainer` is made of."""
