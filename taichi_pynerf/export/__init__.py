"""Exports of a trained field for other programs: point clouds and meshes."""
