"""A field as a triangle mesh with coloured vertices."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from taichi_pynerf.data.linear_images import light_of
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export.points import fits_float32
from taichi_pynerf.export.surface import Surface
from taichi_pynerf.extras import optional
from taichi_pynerf.files import atomic_write, atomic_write_text, json_text
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.model.images import render_rays
from taichi_pynerf.model.model import PyNeRF

if TYPE_CHECKING:
    import trimesh

MESH_SUFFIXES = (".ply", ".obj", ".glb")
Z_TO_Y = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""The rotation from axes in which z is up to glTF's, in which y is."""
MAX_RESOLUTION = 2048
_OWN_COLORS = "_LIGHT"  # trimesh's own attribute of colours has 8 bits, too few in the dark
LAYER = 0.03  # thickness of a surface layer, in sides of the scene box
_AGREE = 0.7  # cosine, from which on a normal by density is that of the triangles, but finer


def default_density(model: PyNeRF) -> float:
    """The density, per world unit, at which a layer of thickness `LAYER` passes half the light."""
    return math.log(2) / (LAYER * model.renderer.box.size)


@torch.no_grad()
def extract_mesh(
    model: PyNeRF,
    resolution: int = 256,
    density: float | None = None,
    min_faces: int = 50,
    progress: bool = False,
    crop: CropBox | None = None,
) -> trimesh.Trimesh:
    """The surface of equal density as triangles (marching cubes, Lorensen and Cline 1987).

    Args:
        model: a trained model.
        resolution: samples along the longest side of the scene box, or of the box around `crop`.
        density: density of the surface, per world unit; None: `default_density`.
        min_faces: connected parts with fewer triangles are left out.
        progress: show a progress bar.
        crop: take only the surface within this box, closed where the box cuts it.

    Returns:
        A mesh in world coordinates, with outward vertex normals, and vertex colours as the field
        shows them head-on.

    Raises:
        ConfigError: an argument is out of its range, or no surface has that density.
        MissingPackageError: trimesh or scikit-image is not installed.
    """
    density = default_density(model) if density is None else density
    if not 2 <= resolution <= MAX_RESOLUTION:
        raise ConfigError(f"resolution is {resolution}: it must be from 2 to {MAX_RESOLUTION}")
    if not (density > 0 and math.isfinite(density)):
        raise ConfigError(f"density is {density}: it must be a positive number")
    trimesh, measure = optional("trimesh", "export"), optional("skimage.measure", "export")
    model.eval()
    aabb = model.renderer.box.aabb if crop is None else crop.around()
    size = max(high - low for low, high in zip(aabb[:3], aabb[3:], strict=True))
    surface = Surface(model, size / (resolution - 1))
    opacity, origin = sample_opacity(surface, density, progress, crop)
    if not opacity.max() > 0.5:
        raise ConfigError(
            f"no place has a density of {density:g}: lower --density, or train longer"
        )
    vertices, faces, _, _ = measure.marching_cubes(opacity, 0.5, gradient_direction="ascent")
    vertices = torch.from_numpy(np.ascontiguousarray(vertices)).float() * surface.width + origin
    mesh = trimesh.Trimesh(vertices.numpy(), faces, process=False)
    drop_small_parts(mesh, min_faces)
    if not len(mesh.faces):
        raise ConfigError(
            f"no part of the mesh has {min_faces} triangles: lower --min_faces, or train longer"
        )
    vertices = torch.from_numpy(np.array(mesh.vertices)).float()
    normals = outward_normals(mesh, surface)
    mesh.vertex_normals = normals.numpy()
    rgbs = look_head_on(model, vertices, normals, surface.width)
    mesh.visual.vertex_colors = (rgbs * 255).round().byte().numpy()
    return mesh


def outward_normals(mesh: trimesh.Trimesh, surface: Surface) -> torch.Tensor:
    """Unit normals [V, 3] of a surface's vertices, by the density.

    Where that is constant or says otherwise, the triangles give them: where a crop or the scene box
    cuts through what is dense, the density knows nothing of the cut.
    """
    by_density = surface.normal(torch.from_numpy(np.array(mesh.vertices)).float())
    by_triangles = torch.from_numpy(np.array(mesh.vertex_normals)).float()
    agree = (by_density * by_triangles).sum(-1, keepdim=True) > _AGREE
    return torch.where(agree, by_density, by_triangles)


def sample_opacity(
    surface: Surface, density: float, progress: bool = False, crop: CropBox | None = None
) -> tuple[np.ndarray, torch.Tensor]:
    """Opacities on a lattice over the scene box or a crop; `density` has the opacity 0.5.

    Opacity changes more evenly than density, so interpolation between two samples places the
    surface better. A border of zeros closes surfaces that leave the box. Neighbours are
    `surface.width` apart.

    Returns:
        opacity: [X, Y, Z] float32.
        origin: [3] world position of opacity[0, 0, 0].
    """
    aabb = surface.box.aabb if crop is None else crop.around()
    low, high = (torch.tensor(aabb[i : i + 3]) for i in (0, 3))
    counts = [int(n) + 1 for n in ((high - low) / surface.width).round()]
    axes = [low[axis] + surface.width * torch.arange(counts[axis]) for axis in range(3)]
    opacity = np.zeros([n + 2 for n in counts], dtype=np.float32)
    for x in tqdm(range(counts[0]), desc="density", unit="slice", disable=not progress):
        points = torch.cartesian_prod(axes[0][x : x + 1], axes[1], axes[2])
        share = surface.density(points) / density
        values = 1 - torch.exp2(-share)
        if crop is not None:
            values = values * crop.contains(points)
        opacity[x + 1, 1:-1, 1:-1] = values.view(counts[1], counts[2]).numpy()
    return opacity, low - surface.width


def look_head_on(
    model: PyNeRF,
    points: torch.Tensor,
    normals: torch.Tensor,
    width: float,
    offset: float | None = None,
) -> torch.Tensor:
    """Colours [K, 3] of surface points [K, 3], rendered along a short ray against their normals.

    The field's colour at the point itself would not do: a surface of equal density lies at the
    fringe of what is seen, where colours were hardly trained.

    Args:
        model: the model.
        points, normals: [K, 3] each, world coordinates.
        width: width that each colour stands for, world units: the rays' footprint at the points.
        offset: distance from the surface at which rays start, world units; None: two widths.
    """
    offset = 2 * width if offset is None else offset
    length = 2 * LAYER * model.renderer.box.size
    rays = Rays(
        points + offset * normals,
        -normals,
        torch.full((len(points),), (width / offset) ** 2),
        torch.tensor([[0.0, length]]).repeat(len(points), 1),
    )
    out = render_rays(model, rays.to(model.device))
    return (out.rgb / out.acc.clamp_min(1e-6).unsqueeze(-1)).clamp(0, 1).cpu()


def drop_small_parts(mesh: trimesh.Trimesh, min_faces: int) -> None:
    """Remove from a mesh the connected parts with fewer triangles than `min_faces`."""
    graph = optional("trimesh.graph", "export")
    parts = graph.connected_components(
        mesh.face_adjacency, min_len=1, nodes=np.arange(len(mesh.faces))
    )
    kept = [part for part in parts if len(part) >= min_faces]
    mesh.update_faces(np.sort(np.concatenate(kept)) if kept else np.zeros(0, dtype=np.int64))
    mesh.remove_unreferenced_vertices()


def move_back(mesh: trimesh.Trimesh, transform: SceneTransform) -> None:
    """Bring a mesh to the coordinates that `transform` started from."""
    normals = transform.undo_directions(np.array(mesh.vertex_normals))
    mesh.vertices = transform.undo(np.array(mesh.vertices))
    mesh.vertex_normals = normals


def write_mesh(
    mesh: trimesh.Trimesh, path: str | Path, to_scene: np.ndarray | None = None
) -> Path | None:
    """Write a mesh as `.ply`, `.obj` or `.glb`, by the path's suffix.

    In glTF y is up. The node of a `.glb` turns the mesh so that it stands upright there; the
    coordinates of its vertices are the same as in the other formats.

    `.ply` and `.glb` hold 32-bit coordinates. If these are too few, as for georeferenced scenes, a
    whole number is subtracted from each axis and written as `offset` to a second file, whose path
    is returned. Vertices plus `offset` give the coordinates. `.obj` holds all digits.

    Args:
        mesh: the mesh.
        path: the file.
        to_scene: [3, 3] rotation from the mesh's axes to those in which z is up; by default none.

    Raises:
        ConfigError: another suffix.
        OSError: the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise ConfigError(f"{path}: a mesh is written as one of {', '.join(MESH_SUFFIXES)}")
    content: str | bytes
    offset_path = None
    vertices = np.array(mesh.vertices)
    if suffix != ".obj" and not fits_float32(vertices):
        offset = np.round(vertices.mean(axis=0))
        mesh, normals_kept = mesh.copy(), np.array(mesh.vertex_normals)
        mesh.vertices = vertices - offset
        mesh.vertex_normals = normals_kept
        offset_path = path.with_name(f"{path.name}.offset.json")
        atomic_write_text(offset_path, json_text({"offset": offset.tolist()}) + "\n")
    if suffix == ".glb":
        content = glb_of(mesh, Z_TO_Y @ (np.eye(3) if to_scene is None else to_scene))
    else:
        normals = "vertex_normal" if suffix == ".ply" else "include_normals"
        content = mesh.export(file_type=suffix[1:], **{normals: True})
    with atomic_write(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return offset_path


def glb_of(mesh: trimesh.Trimesh, rotation: np.ndarray) -> bytes:
    """A mesh as binary glTF 2.0, turned by its node.

    glTF multiplies a vertex's colour with the light, so it is no display value, and wants a
    material: without one, surfaces count as metal.
    """
    trimesh = optional("trimesh", "export")
    transform = np.eye(4)
    transform[:3, :3] = rotation
    if mesh.visual.kind == "vertex":
        light = light_of(mesh.visual.vertex_colors[:, :3] / 255).astype(np.float32)
        mesh = trimesh.Trimesh(
            mesh.vertices, mesh.faces, vertex_normals=mesh.vertex_normals, process=False,
            vertex_attributes={_OWN_COLORS: light},
        )  # fmt: skip
    scene = trimesh.Scene()
    scene.add_geometry(mesh, transform=transform)
    return scene.export(file_type="glb", include_normals=True, tree_postprocessor=_paint)


def _paint(tree: dict) -> None:
    """Let glTF's meshes have the colours that trimesh wrote as an attribute of our own."""
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            colors = primitive["attributes"].pop(_OWN_COLORS, None)
            if colors is not None:
                primitive["attributes"]["COLOR_0"] = colors
                matte = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
                tree["materials"] = [{"pbrMetallicRoughness": matte}]
                primitive["material"] = 0
