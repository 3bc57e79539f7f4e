"""Exports of a trained field for other programs: point clouds and meshes."""

from taichi_pynerf.export.mesh import extract_mesh, move_back, write_mesh
from taichi_pynerf.export.points import (
    PointCloud,
    extract_point_cloud,
    rays_of_views,
    rays_through_box,
    write_point_cloud,
)

__all__ = [
    "PointCloud",
    "extract_mesh",
    "extract_point_cloud",
    "move_back",
    "rays_of_views",
    "rays_through_box",
    "write_mesh",
    "write_point_cloud",
]
