"""Plain torch twins of the Taichi ops, with which the tests compare the kernels.

The twins take any floating type, are differentiated by torch, and are written to be read, not to be
fast. Their modules have the names of those in `taichi_pynerf.ops`. They take the same arguments,
except those that only choose between ways of computing the same result, and what they leave to the
tests: light that is spent before a ray begins, places ruled out, and densities as a function.
"""
