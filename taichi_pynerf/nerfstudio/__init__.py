"""The plugin for nerfstudio (https://docs.nerf.studio), and runs brought there and back.

nerfstudio finds the methods and data parsers by the entry points in `pyproject.toml`. Of
all this the rest of the package imports `convert` alone, which asks for nerfstudio when it is used.
"""
