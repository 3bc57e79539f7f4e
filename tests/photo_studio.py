"""Photos of a room with posters on all sides: views with known poses for structure from motion."""

import functools

import numpy as np
from PIL import Image

from taichi_pynerf.geometry.cameras import look_at

HALF_ROOM = np.array([3.0, 3.0, 1.5])
BOXES = ((np.array([0.0, 0.0, -0.9]), np.array([0.7, 0.7, 0.6])),)
TEXTURE_SIZE = 512


def orbit(num_views: int, radius: float = 2.2) -> np.ndarray:
    """[V, 4, 4] poses (OpenGL) on part of a wavy circle, looking at the middle."""
    poses = np.tile(np.eye(4), (num_views, 1, 1))
    for i in range(num_views):
        a = 0.22 * i
        eye = (radius * np.cos(a), radius * np.sin(a), 0.3 * np.sin(1.7 * i))
        poses[i, :3] = look_at(eye, (0.0, 0.0, -0.3)).numpy()
    return poses


def _texture(rng: np.random.Generator) -> np.ndarray:
    """[T, T, 3] in [0, 1], random patches at many scales."""
    total = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE, 3))
    for cells in (8, 16, 32, 64, 128):
        patches = rng.uniform(0.0, 1.0, (cells, cells, 3))
        total += np.kron(patches, np.ones((TEXTURE_SIZE // cells,) * 2 + (1,)))
    return (total - total.min()) / (total.max() - total.min())


@functools.cache
def _textures() -> list[list[np.ndarray]]:
    """Six textures for the room and six for each box."""
    rng = np.random.default_rng(7)
    return [[_texture(rng) for _ in range(6)] for _ in range(1 + len(BOXES))]


def render(pose: np.ndarray, width: int, height: int, focal: float, *, k1: float = 0.0):
    """[height, width, 3] uint8, one sample a pixel, seen through a lens with distortion k1."""
    faces = _textures()
    y, x = np.mgrid[:height, :width] + 0.5
    moved = np.stack([(x - 0.5 * width) / focal, (y - 0.5 * height) / focal], axis=-1)
    plane = moved.copy()
    for _ in range(8):  # undo the distortion
        plane = moved / (1.0 + k1 * (plane**2).sum(-1, keepdims=True))
    directions = np.stack([plane[..., 0], -plane[..., 1], -np.ones_like(x)], axis=-1)
    directions = directions @ pose[:3, :3].T
    eye = pose[:3, 3]
    with np.errstate(divide="ignore"):
        inverse = 1.0 / directions
    # Inside of the room: where the ray leaves it. Outside of the boxes: where it enters.
    exits = np.maximum((-HALF_ROOM - eye) * inverse, (HALF_ROOM - eye) * inverse)
    nearest = exits.min(-1)
    image = _paint(
        eye + nearest[..., None] * directions, exits.argmin(-1), 0 * eye, HALF_ROOM, faces[0]
    )
    for (centre, half), textures in zip(BOXES, faces[1:], strict=True):
        a, b = (centre - half - eye) * inverse, (centre + half - eye) * inverse
        enter, leave = np.minimum(a, b), np.maximum(a, b).min(-1)
        t = enter.max(-1)
        hit = (t < leave) & (t > 0) & (t < nearest)
        painted = _paint(eye + t[..., None] * directions, enter.argmax(-1), centre, half, textures)
        image[hit] = painted[hit]
    return (image * 255 + 0.5).astype(np.uint8)


def _paint(points, axis, centre, half, textures):
    """Colours of points on a box's faces: one texture per face."""
    local = (points - centre) / half
    colours = np.zeros((*axis.shape, 3))
    for k in range(3):
        u, v = (np.clip((local[..., j] + 1) / 2, 0, 0.9999) for j in range(3) if j != k)
        for side in range(2):
            here = (axis == k) & ((local[..., k] > 0) == side)
            rows = (v[here] * TEXTURE_SIZE).astype(int)
            columns = (u[here] * TEXTURE_SIZE).astype(int)
            colours[here] = textures[2 * k + side][rows, columns]
    return colours


def take_photos(folder, num_views: int, width=320, height=240, focal=270.0, k1=0.0) -> np.ndarray:
    """Write `photo_00.png`, … and give back the poses."""
    folder.mkdir(parents=True, exist_ok=True)
    poses = orbit(num_views)
    for i, pose in enumerate(poses):
        image = Image.fromarray(render(pose, width, height, focal, k1=k1))
        image.save(folder / f"photo_{i:02d}.png")
    return poses
