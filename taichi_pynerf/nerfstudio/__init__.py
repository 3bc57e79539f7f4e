"""The plugin for nerfstudio (https://docs.nerf.studio), and runs brought there and back.

nerfstudio finds the methods and data parsers by the entry points in `pyproject.toml`. Nothing here
is imported by the rest of the package, and `convert` and `read_run` import without nerfstudio.
"""
