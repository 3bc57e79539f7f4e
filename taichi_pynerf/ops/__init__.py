"""The bridge between torch and Taichi: one autograd function per kernel family.

Every function here takes and returns torch tensors, checks shapes and types, and has a plain
torch twin of the same name in `taichi_pynerf.reference`, to which the tests hold it in value and
in gradient. Tensors are shared with Taichi without copying; results are fresh tensors.
"""
