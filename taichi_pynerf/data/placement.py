"""The placement of a scene in its coordinates: orientation, origin and unit.

Poses from photographs come in any orientation and scale. As in nerfstudio, they are turned so that
z is up, moved so that the cameras are around the origin, and scaled so that their coordinates are
within [-1, 1]. The transform is kept, so that exports can return to the original coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from taichi_pynerf.errors import SceneError

ORIENTATIONS = ("up", "pca", "vertical", "none")
CENTERS = ("poses", "focus", "points", "none")
MAX_COORDINATE = 1e6


@dataclass(frozen=True)
class Placement:
    """The placement that the user asks for; None leaves a value to the format.

    Attributes:
        orientation: the direction that is turned to +z. "up": the mean up axis of the cameras.
            "vertical": the direction most nearly perpendicular to the cameras' horizontal axes.
            "pca": the direction in which the camera positions vary least. "none": keep the axes.
        center: the point that becomes the origin. "poses": the mean camera position. "focus": the
            point nearest to all optical axes. "points": the median of the format's points, if it
            has any. "none": keep the origin.
        auto_scale: scale the scene so that the camera positions, and half of the points if there
            are any, are within [-1, 1]^3.
        scene_scale: half the side of the scene box, a cube around the new origin, scene units.
        aabb: the scene box itself (x0, y0, z0, x1, y1, z1), in place of `scene_scale`.

    Raises:
        SceneError: a value is not allowed.
    """

    orientation: str | None = None
    center: str | None = None
    auto_scale: bool | None = None
    scene_scale: float | None = None
    aabb: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name, known in (("orientation", ORIENTATIONS), ("center", CENTERS)):
            if getattr(self, name) not in (None, *known):
                raise SceneError(
                    f"{name} is {getattr(self, name)!r}: choose one of {', '.join(known)}"
                )
        scale = self.scene_scale
        if scale is not None and not 0.0 < scale <= MAX_COORDINATE:
            raise SceneError(f"scene_scale is {scale}: it must be a positive number")
        if self.aabb is None:
            return
        if scale is not None:
            raise SceneError("scene_scale and aabb both give the scene box: choose one of them")
        aabb = tuple(map(float, self.aabb))
        if not (
            len(aabb) == 6
            and all(abs(value) <= MAX_COORDINATE for value in aabb)
            and all(low < high for low, high in zip(aabb[:3], aabb[3:], strict=True))
        ):
            raise SceneError(f"aabb is {list(aabb)}: it must be x0 y0 z0 x1 y1 z1 with x0 < x1 …")
        object.__setattr__(self, "aabb", aabb)

    def or_else(self, default: Placement) -> Placement:
        """This placement, with values of `default` where it has None."""
        has_box = self.aabb is not None or self.scene_scale is not None
        own = {name: value for name, value in vars(self).items() if value is not None}
        return replace(replace(default, aabb=None, scene_scale=None) if has_box else default, **own)

    def box(self) -> tuple[float, ...]:
        """The scene box."""
        if self.aabb is not None:
            return self.aabb
        half = 1.0 if self.scene_scale is None else float(self.scene_scale)
        return (-half,) * 3 + (half,) * 3


AS_IT_IS = Placement(orientation="none", center="none", auto_scale=False)
"""Keep the coordinates of the files."""

FROM_CAMERAS = Placement(orientation="up", center="poses", auto_scale=True)
"""nerfstudio's defaults."""


@dataclass(frozen=True, eq=False)
class SceneTransform:
    """The similarity from a file's world to the scene's: `scale * (rotation @ x + translation)`.

    Attributes:
        matrix: [3, 4] float64, the rotation beside the translation.
        scale: scene units per unit of the file.
    """

    matrix: np.ndarray = field(default_factory=lambda: np.eye(4)[:3])
    scale: float = 1.0

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] of the file's world, in scene coordinates."""
        return self.scale * (points @ self.matrix[:, :3].T + self.matrix[:, 3])

    def undo(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] of the scene, in the file's world."""
        return (points / self.scale - self.matrix[:, 3]) @ self.matrix[:, :3]

    def undo_directions(self, directions: np.ndarray) -> np.ndarray:
        """Directions [..., 3] of the scene, in the file's world; lengths stay."""
        return directions @ self.matrix[:, :3].astype(directions.dtype)

    def apply_to_poses(self, poses: np.ndarray) -> np.ndarray:
        """Camera-to-world poses [V, 3, 4] of the file's world, in scene coordinates."""
        rotations = self.matrix[:, :3] @ poses[:, :, :3]
        return np.concatenate([rotations, self.apply(poses[:, :, 3])[..., None]], axis=-1)

    def undo_poses(self, poses: np.ndarray) -> np.ndarray:
        """Camera-to-world poses [V, 3, 4] of the scene, in the file's world."""
        rotations = self.matrix[:, :3].T @ poses[:, :, :3]
        return np.concatenate([rotations, self.undo(poses[:, :, 3])[..., None]], axis=-1)

    def after(self, matrix: np.ndarray, scale: float = 1.0) -> SceneTransform:
        """The composition: first a rigid transform [3, 4] and a scale, then this one."""
        full = np.concatenate([matrix, [[0.0, 0.0, 0.0, 1.0]]])
        own = np.column_stack([self.matrix[:, :3], self.matrix[:, 3] / scale])
        return replace(self, matrix=own @ full, scale=self.scale * scale)


def transform_from_poses(
    poses: np.ndarray, placement: Placement, points: np.ndarray | None = None
) -> SceneTransform:
    """The transform that a placement gives for a scene's cameras.

    Args:
        poses: [V, 3, 4] float64 camera-to-world poses of all splits together, in OpenGL axes.
        placement: a placement with `orientation`, `center` and `auto_scale`.
        points: [K, 3] float64 points on the scene's surfaces, if the format has any.

    Raises:
        SceneError: the scene has no points to be centred on.
    """
    surface = np.empty((0, 3)) if points is None else points
    has_points = len(surface) > 0
    if placement.center == "points" and not has_points:
        if points is None:
            raise SceneError("center is 'points', and this format has none: choose another")
        placement = replace(placement, center="poses")  # the sparse model is empty
    assert placement.orientation is not None
    assert placement.center is not None
    rotation = {
        "up": _up_rotation,
        "vertical": _vertical_rotation,
        "pca": _pca_rotation,
        "none": lambda poses: np.eye(3),
    }[placement.orientation](poses)
    center = {
        "poses": lambda poses: poses[:, :, 3].mean(axis=0),
        "focus": focus_point,
        "points": lambda poses: np.median(surface, axis=0),
        "none": lambda poses: np.zeros(3),
    }[placement.center](poses)
    matrix = np.concatenate([rotation, -rotation @ center[:, None]], axis=1)
    transform = SceneTransform(matrix)
    if placement.auto_scale:
        reach = np.abs(transform.apply(poses[:, :, 3])).max()
        if has_points:
            reach = max(reach, np.median(np.abs(transform.apply(surface)).max(axis=-1)))
        if reach > 1e-9:  # a single camera has no scale
            transform = replace(transform, scale=float(1.0 / reach))
    return transform


def focus_point(poses: np.ndarray) -> np.ndarray:
    """The point [3] with the least sum of squared distances to the optical axes.

    Parallel axes have no single such point; then the one nearest to the mean position is used.
    """
    axes, positions = poses[:, :, 2], poses[:, :, 3]
    axes = axes / np.linalg.norm(axes, axis=-1, keepdims=True)
    # The distance to an axis is the length of the part across it; the projection is I - a a^T.
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    mean = positions.mean(axis=0)
    offset = (across @ (positions - mean)[:, :, None]).sum(axis=0)[:, 0]
    return mean + np.linalg.lstsq(across.sum(axis=0), offset, rcond=1e-6)[0]


def _up_rotation(poses: np.ndarray) -> np.ndarray:
    return rotation_to_z(poses[:, :, 1].mean(axis=0))


def _vertical_rotation(poses: np.ndarray) -> np.ndarray:
    up = poses[:, :, 1].mean(axis=0)
    _, spread, directions = np.linalg.svd(poses[:, :, 0])
    # If all cameras look the same way, their horizontal axes span only a line.
    if len(spread) < 3 or spread[1] < 0.1 * math.sqrt(len(poses)):
        return rotation_to_z(up)
    vertical = directions[2]
    return rotation_to_z(vertical if vertical @ up >= 0.0 else -vertical)


def _pca_rotation(poses: np.ndarray) -> np.ndarray:
    offsets = poses[:, :, 3] - poses[:, :, 3].mean(axis=0)
    _, axes = np.linalg.eigh(offsets.T @ offsets)
    rotation = axes[:, ::-1].T  # in order of falling variance
    if np.linalg.det(rotation) < 0.0:
        rotation[2] *= -1.0
    if rotation[2] @ poses[:, :, 1].mean(axis=0) < 0.0:
        rotation[1:] *= -1.0
    return rotation


def rotation_to_z(direction: np.ndarray) -> np.ndarray:
    """The least rotation [3, 3] that turns a direction to +z; the identity if its length is 0."""
    length = np.linalg.norm(direction)
    if length < 1e-9:
        return np.eye(3)
    x, y, z = direction / length
    if z < -1.0 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    # Rodrigues' formula with the axis (y, -x, 0) and the angle's cosine z.
    cross = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    return np.eye(3) + cross + cross @ cross / (1.0 + z)
