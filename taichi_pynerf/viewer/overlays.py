"""Lines drawn over the picture: the scene box and the cameras."""

from __future__ import annotations

import itertools

import numpy as np

from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.lines import draw_lines

BOX_COLOR = (214, 120, 32)
FRUSTUM_COLOR = (38, 132, 196)
NEAREST_COLOR = (225, 48, 84)
PATH_COLOR = (44, 160, 60)
CROP_COLOR = (168, 60, 196)
_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)


def box_segments(aabb: tuple[float, ...]) -> np.ndarray:
    """[12, 2, 3] edges of the box (min x, min y, min z, max x, max y, max z)."""
    return edges_of(np.array(list(itertools.product(*zip(aabb[:3], aabb[3:], strict=True)))))


def edges_of(corners: np.ndarray) -> np.ndarray:
    """[12, 2, 3] edges of a box whose corners [8, 3] are numbered by their place in binary."""
    pairs = itertools.combinations(range(8), 2)
    # An edge changes one coordinate.
    edges = [pair for pair in pairs if (pair[0] ^ pair[1]) in (1, 2, 4)]
    return corners[np.array(edges)]


def frustum_segments(cameras: Cameras, size: float) -> np.ndarray:
    """[V, 8, 2, 3]: four edges from each camera to its image, and the image's four sides.

    Lens distortion is left out.

    Args:
        cameras: V cameras.
        size: height of the drawn image planes, world units.
    """
    c2w = cameras.c2w.double().numpy()
    shape = np.stack([cameras.width.numpy(), cameras.height.numpy()], axis=-1).astype(np.float64)
    focal = np.stack([cameras.fx.numpy(), cameras.fy.numpy()], axis=-1)
    middle = np.stack([cameras.cx.numpy(), cameras.cy.numpy()], axis=-1)
    plane = (_CORNERS * shape[:, None] - middle[:, None]) / focal[:, None] * [1.0, -1.0]
    depth = size * focal[:, 1] / shape[:, 1]
    local = np.concatenate([plane, -np.ones((*plane.shape[:2], 1))], axis=-1)
    corners = (depth[:, None, None] * local) @ c2w[:, :, :3].transpose(0, 2, 1) + c2w[:, None, :, 3]
    eyes = np.broadcast_to(c2w[:, None, :, 3], corners.shape)
    edges = np.stack([eyes, corners], axis=2)
    sides = np.stack([corners, np.roll(corners, -1, axis=1)], axis=2)
    return np.concatenate([edges, sides], axis=1)


def draw_world_lines(
    image: np.ndarray,
    camera: ViewCamera,
    segments: np.ndarray,
    color: tuple[int, int, int],
    opacity: float = 1.0,
) -> None:
    """Draw world-space lines [..., 2, 3] into uint8 [H, W, 3] as a camera sees them."""
    height, width = image.shape[:2]
    flat = camera.project_segments(segments.reshape(-1, 2, 3), width, height)
    draw_lines(image, flat, color, opacity)
