"""Every Taichi op again, in plain torch: the definition that the tests hold the kernels to.

The twins take any floating type, are differentiated by torch itself, and are written to be read,
not to be fast. They live in modules named like those of `taichi_pynerf.ops` and take the same
arguments, less the ones that only choose between ways of computing the same thing.
"""
