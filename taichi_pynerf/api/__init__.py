"""The library in a few words of Python: load a scene, train a model, render a camera.

Everything here takes and returns numpy arrays and plain values. The names are exported by
`taichi_pynerf` itself.
"""
