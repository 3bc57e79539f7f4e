"""Textures: a mesh is unwrapped, and the field's colours are painted on, finer than triangles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export.mesh import look_head_on, outward_normals
from taichi_pynerf.export.surface import Surface
from taichi_pynerf.extras import optional
from taichi_pynerf.model.model import PyNeRF

if TYPE_CHECKING:
    import trimesh

TEXTURE_SIZES = (16, 8192)
PADDING = 2  # texels between the pieces of a texture
_CANDIDATES_AT_ONCE = 2**22
_TEXELS_AT_ONCE = 2**17


@torch.no_grad()
def simplify(model: PyNeRF, mesh: trimesh.Trimesh, max_faces: int) -> trimesh.Trimesh:
    """A surface with about `max_faces` triangles at most. Edges collapse where it is flattest.

    The texture keeps the detail that triangles lose. The time for unwrapping grows faster than the
    number of triangles.

    Args:
        model: the model, which gives the normals.
        mesh: a surface of the model in world coordinates.
        max_faces: greatest number of triangles.

    Raises:
        ConfigError: fewer than 4 triangles are asked for.
        MissingPackageError: fast-simplification is not installed.
    """
    if max_faces < 4:
        raise ConfigError(f"max_faces is {max_faces}: it must be 4 or more")
    if len(mesh.faces) <= max_faces:
        return mesh
    trimesh = optional("trimesh", "export")
    vertices, faces = optional("fast_simplification", "export").simplify(
        np.array(mesh.vertices, dtype=np.float32),
        np.array(mesh.faces, dtype=np.int32),
        target_count=max_faces,
    )
    simple = trimesh.Trimesh(vertices, faces, process=False)
    edges = simple.edges_unique_length
    surface = Surface(model, float(np.median(edges)))
    simple.vertex_normals = outward_normals(simple, surface).numpy()
    return simple


def unwrap(
    vertices: np.ndarray, faces: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a surface into pieces that lie flat beside each other in a square (xatlas).

    Args:
        vertices, faces: [V, 3] and [F, 3].
        size: side of the texture, texels.

    Returns:
        sources: [V'] int64, the old vertex of each new one; vertices at cuts are repeated.
        faces: [F', 3] int64, indices of new vertices.
        uv: [V', 2] float32 texture coordinates in [0, 1], v upwards.

    Raises:
        MissingPackageError: xatlas is not installed.
    """
    xatlas = optional("xatlas", "export")
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices.astype(np.float32), faces.astype(np.uint32))
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    packing.resolution, packing.padding, packing.bilinear = size, PADDING, True
    atlas.generate(charts, packing)
    sources, new_faces, uv = atlas[0]
    return sources.astype(np.int64), new_faces.astype(np.int64), uv.astype(np.float32)


def texels_of(
    uv: np.ndarray, faces: np.ndarray, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The texels whose middles lie on triangles of a texture.

    Args:
        uv: [V, 2] texture coordinates of vertices, v upwards.
        faces: [F, 3].
        size: side of the texture, texels.

    Yields:
        texel: [K] int64, row by row from the top left.
        face: [K] int64, a triangle that the texel is on.
        weights: [K, 3] float32, weights of the triangle's corners, with sum 1.
    """
    corners = uv[faces].astype(np.float64) * size
    corners[..., 1] = size - corners[..., 1]
    first = np.clip(np.floor(corners.min(1) - 0.5), 0, size).astype(np.int64)
    last = np.clip(np.ceil(corners.max(1) + 0.5), 0, size).astype(np.int64)
    spans = last - first
    counts = spans[:, 0] * spans[:, 1]
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(faces):
        done = int(ends[begin - 1]) if begin else 0
        end = int(np.searchsorted(ends, done + _CANDIDATES_AT_ONCE, side="right"))
        end = max(end, begin + 1)
        face = np.repeat(np.arange(begin, end), counts[begin:end])
        place = np.arange(len(face)) - np.repeat(
            ends[begin:end] - counts[begin:end] - done, counts[begin:end]
        )
        x = first[face, 0] + place % np.maximum(spans[face, 0], 1)
        y = first[face, 1] + place // np.maximum(spans[face, 0], 1)
        weights = _barycentric(corners[face], x + 0.5, y + 0.5)
        inside = (weights >= -1e-9).all(-1)
        yield (y * size + x)[inside], face[inside], weights[inside].astype(np.float32)
        begin = end


def _barycentric(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights [K, 3] of the corners [K, 3, 2] of triangles at points; negative beyond a side."""
    a, b, c = np.moveaxis(corners, 1, 0)
    point = np.stack([x, y], -1)

    def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]

    area = cross(b - a, c - a)
    flat = np.abs(area) < 1e-12
    safe = np.where(flat, 1.0, area)
    second, third = cross(point - a, c - a) / safe, cross(b - a, point - a) / safe
    weights = np.stack([1.0 - second - third, second, third], -1)
    return np.where(flat[:, None], -1.0, weights)


@torch.no_grad()
def bake_texture(
    model: PyNeRF, mesh: trimesh.Trimesh, size: int = 2048, progress: bool = False
) -> trimesh.Trimesh:
    """The same surface with a texture in place of vertex colours.

    Each texel gets the colour that the field shows there head-on, at its finest level.

    Args:
        model: the model.
        mesh: a surface of it in world coordinates, with vertex normals.
        size: side of the texture in texels.
        progress: show a progress bar.

    Raises:
        ConfigError: the size is out of its range.
        MissingPackageError: a package is not installed.
    """
    if not TEXTURE_SIZES[0] <= size <= TEXTURE_SIZES[1]:
        low, high = TEXTURE_SIZES
        raise ConfigError(f"texture_size is {size}: it must be from {low} to {high}")
    trimesh, ndimage = optional("trimesh", "export"), optional("scipy.ndimage", "export")
    vertices, normals = np.array(mesh.vertices), np.array(mesh.vertex_normals)
    sources, faces, uv = unwrap(vertices, np.array(mesh.faces), size)
    vertices, normals = vertices[sources], normals[sources]
    colors = np.zeros((size * size, 3), dtype=np.uint8)
    known = np.zeros(size * size, dtype=bool)
    cell = model.renderer.box.size / model.field.resolutions[-1]
    edges = vertices[faces] - np.roll(vertices[faces], 1, axis=1)
    offset = 2 * float(np.median(np.linalg.norm(edges, axis=-1)))
    with tqdm(total=len(faces), desc="texture", unit="triangle", disable=not progress) as bar:
        for texel, face, weights in texels_of(uv, faces, size):
            points, outwards = (
                torch.from_numpy((weights[..., None] * x[faces[face]]).sum(1)).float()
                for x in (vertices, normals)
            )
            outwards = torch.nn.functional.normalize(outwards, dim=-1)
            for part in torch.arange(len(texel)).split(_TEXELS_AT_ONCE):
                rgbs = look_head_on(model, points[part], outwards[part], cell, offset)
                colors[texel[part.numpy()]] = (rgbs * 255).round().byte().numpy()
            known[texel] = True
            bar.update(int(face.max()) + 1 - bar.n if len(face) else 0)
        bar.update(len(faces) - bar.n)
    # Gaps between the pieces get the nearest colour, as texture filters blend neighbours.
    image = colors.reshape(size, size, 3)
    if known.any():
        rows, columns = ndimage.distance_transform_edt(
            ~known.reshape(size, size), return_distances=False, return_indices=True
        )
        image = image[rows, columns]
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.fromarray(image), metallicFactor=0.0, roughnessFactor=1.0
    )
    textured = trimesh.Trimesh(vertices, faces, vertex_normals=normals, process=False)
    textured.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return textured
