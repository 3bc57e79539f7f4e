"""A field as a cloud of coloured points with normals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export.surface import Surface
from taichi_pynerf.extras import optional
from taichi_pynerf.files import atomic_write
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.model.model import PyNeRF

RAYS_PER_ROUND = 2**14
MAX_EMPTY_ROUNDS = 8  # rounds in a row without a point that end the search
NORMAL_WIDTH = 1 / 256  # footprint at which normals are computed, in sides of the scene box
ROUNDING = 1e-5  # greatest rounding of coordinates to 32 bits, as a share of their extent
RaySource = Callable[[int], Rays]


@dataclass(frozen=True, eq=False)
class PointCloud:
    """N points on the surfaces of a scene.

    Attributes:
        points: [N, 3] float32, world coordinates; float64 where 32 bits are too few.
        normals: [N, 3] float32, of length 1, outwards.
        colors: [N, 3] uint8.
    """

    points: np.ndarray
    normals: np.ndarray
    colors: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    def moved_back(self, transform: SceneTransform) -> PointCloud:
        """The same points in the coordinates that `transform` started from."""
        points = transform.undo(self.points.astype(np.float64))
        if fits_float32(points):
            points = points.astype(np.float32)
        return replace(self, points=points, normals=transform.undo_directions(self.normals))


def fits_float32(points: np.ndarray) -> bool:
    """Whether 32 bits resolve coordinates [N, 3] to within `ROUNDING` of their extent.

    They do not for georeferenced coordinates: at 5,000,000 m the steps are half a metre.
    """
    extent = np.ptp(points, axis=0).max() if len(points) else 0.0
    steps = np.spacing(np.abs(points).max(initial=0.0).astype(np.float32))
    return bool(steps <= ROUNDING * extent)


def rays_of_views(dataset: Dataset, seed: int = 0) -> RaySource:
    """Rays through random pixels of a dataset's images of the finest scale."""
    dataset.set_active_scales([int(dataset.scales.min())])
    generator = torch.Generator().manual_seed(seed)

    def draw(num_rays: int) -> Rays:
        return dataset.sample(num_rays, generator).rays

    return draw


def rays_through_box(model: PyNeRF, seed: int = 0) -> RaySource:
    """Random straight lines through the ball around the scene box, for use without views.

    Lines that are uniform in position and direction meet every piece of a surface in proportion
    to its area (Crofton's formula). At the middle of the box, a line's pixel is as wide as a cell
    of the finest level.
    """
    generator = torch.Generator().manual_seed(seed)
    box = model.renderer.box
    radius = 0.5 * 3**0.5 * box.size
    area = (box.size / model.field.resolutions[-1] / radius) ** 2

    def on_sphere(num_points: int) -> torch.Tensor:
        x = torch.randn(num_points, 3, generator=generator)
        return torch.nn.functional.normalize(x, dim=-1)

    def draw(num_rays: int) -> Rays:
        # The direction is uniform; the line meets the disc across it at a uniform place.
        dirs = on_sphere(num_rays)
        side = torch.linalg.cross(dirs, on_sphere(num_rays))
        side = torch.nn.functional.normalize(side, dim=-1)
        offset = radius * torch.rand(num_rays, 1, generator=generator).sqrt()
        origins = torch.tensor(box.center) + offset * side - radius * dirs
        bounds = torch.tensor([[0.0, 2 * radius]]).repeat(num_rays, 1)
        return Rays(origins, dirs, torch.full((num_rays,), area), bounds)

    return draw


@torch.no_grad()
def extract_point_cloud(
    model: PyNeRF,
    draw_rays: RaySource,
    num_points: int = 500_000,
    min_opacity: float = 0.8,
    progress: bool = False,
    crop: CropBox | None = None,
) -> PointCloud:
    """Points where random rays end.

    A ray gives the point at its mean depth. The point is kept if the ray is opaque enough and the
    field is dense there. At the edge of an object, the mean depth lies in the air between near and
    far things.

    Args:
        model: a trained model.
        draw_rays: returns the given number of random rays; see `rays_of_views` and
            `rays_through_box`.
        num_points: N.
        min_opacity: least opacity of a ray, in [0, 1).
        progress: show a progress bar.
        crop: a box; rays see only what is in it, and points lie in it.

    Raises:
        ConfigError: an argument is out of its range, or the rays meet nothing.
    """
    if num_points < 1:
        raise ConfigError(f"num_points is {num_points}: give a whole number from 1 on")
    if not 0 <= min_opacity < 1:
        raise ConfigError(f"min_opacity is {min_opacity}: give a number in [0, 1)")
    model.eval()
    surface = Surface(model, NORMAL_WIDTH * model.renderer.box.size)
    parts, found, empty_rounds = [], 0, 0
    with tqdm(total=num_points, desc="points", unit="pt", disable=not progress) as bar:
        while found < num_points:
            rays = draw_rays(RAYS_PER_ROUND)
            rays = rays if crop is None else crop.clip(rays)
            part = _points_of_rays(model, surface, rays, min_opacity)
            empty_rounds = 0 if len(part[0]) else empty_rounds + 1
            if empty_rounds == MAX_EMPTY_ROUNDS:
                raise ConfigError(
                    f"{RAYS_PER_ROUND * MAX_EMPTY_ROUNDS} rays in a row met nothing of opacity "
                    f"{min_opacity}: lower --min_opacity, or train longer"
                )
            part = tuple(x[: num_points - found] for x in part)
            parts.append(part)
            found += len(part[0])
            bar.update(len(part[0]))
    points, normals, rgbs = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return PointCloud(
        points.numpy(), normals.numpy(), (rgbs.clamp(0, 1) * 255).round().byte().numpy()
    )


def _points_of_rays(
    model: PyNeRF, surface: Surface, rays: Rays, min_opacity: float
) -> tuple[torch.Tensor, ...]:
    """Points, normals and colours of the rays that end on a surface."""
    rays = rays.to(model.device)
    out = model.renderer.render_rays(rays)
    kept = (out.acc > min_opacity).nonzero().squeeze(-1)
    dirs = rays.rays_d[kept]
    points = rays.rays_o[kept] + out.depth[kept].unsqueeze(-1) * dirs
    dense = surface.is_dense(points)
    kept, dirs, points = kept[dense], dirs[dense], points[dense]
    normals = surface.normal(points)
    # Behind the middle of a thin sheet the normal flips. Grazing rays are unreliable.
    from_behind = (normals * dirs).sum(-1, keepdim=True) > 0.5
    normals = torch.where(from_behind, -normals, normals)
    known = normals.square().sum(-1) > 0.5
    rgbs = out.rgb[kept] / out.acc[kept].unsqueeze(-1)
    return points[known], normals[known], rgbs[known]


def write_point_cloud(cloud: PointCloud, path: str | Path) -> None:
    """Write a binary PLY file with `x y z nx ny nz red green blue` for each vertex.

    x, y and z are float32, or double where the points are float64.

    Raises:
        MissingPackageError: plyfile is not installed.
        OSError: the file cannot be written.
    """
    plyfile = optional("plyfile", "export")
    names = ("x", "y", "z", "nx", "ny", "nz")
    colors = ("red", "green", "blue")
    place = "<f8" if cloud.points.dtype == np.float64 else "<f4"
    dtype = [(n, place if n in "xyz" else "<f4") for n in names] + [(n, "u1") for n in colors]
    vertices = np.empty(len(cloud), dtype=dtype)
    columns = [*cloud.points.T, *cloud.normals.T, *cloud.colors.T]
    for name, column in zip((*names, *colors), columns, strict=True):
        vertices[name] = column
    element = plyfile.PlyElement.describe(vertices, "vertex")
    with atomic_write(path) as file:
        plyfile.PlyData([element], byte_order="<").write(file)
