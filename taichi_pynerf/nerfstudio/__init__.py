"""The plugin for nerfstudio (https://docs.nerf.studio), and the conversion of runs to nerfstudio.

nerfstudio finds the methods and data parsers by the entry points in `pyproject.toml`. The rest of
the package imports only `convert`, which needs nerfstudio when it is called.
"""
