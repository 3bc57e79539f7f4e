"""The bridge between torch and Taichi: one module per kernel family.

The functions take and return torch tensors and check their shapes and types. Those of the field and
of the renderer have a plain torch twin of the same name in `taichi_pynerf.reference`; fused
rendering has the parts that it is fused from. Tests compare the two in value and, where they are
differentiable, in gradient. Tensors are shared with Taichi
without copying, except on Vulkan (see `residence`). Results are new tensors, unless a docstring
says "in place".
"""
