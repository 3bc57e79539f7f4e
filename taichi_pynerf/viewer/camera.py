"""The viewer's camera and its moves.

Everything is float64: after thousands of moves a pose is still a rotation to float32 precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from taichi_pynerf.geometry.cameras import Cameras, look_at
from taichi_pynerf.geometry.rotations import rotation_about

POLE = math.radians(1.0)  # closest angle of an orbit to straight above or below, radians
FOV_RANGE = (math.radians(5.0), math.radians(120.0))
Vector = Sequence[float] | np.ndarray
_NEAR_SHARE = 1e-3  # clipping distance for lines, as a share of the distance to the target


@dataclass(frozen=True, eq=False)
class ViewCamera:
    """A pinhole camera that orbits a target straight ahead of it. Axes are OpenGL's.

    Every move returns a new camera, or the same object if nothing changes.

    Attributes:
        rotation: [3, 3], columns right, up, backward in the world.
        position: [3], world units.
        distance: distance from the position to the target, world units.
        fov_y: vertical angle of view, radians.
        world_up: [3] unit vector, the axis of orbits.
    """

    rotation: np.ndarray
    position: np.ndarray
    distance: float
    fov_y: float
    world_up: np.ndarray

    @classmethod
    def looking_at(cls, eye: Vector, target: Vector, world_up: Vector, fov_y: float) -> ViewCamera:
        """A camera at `eye` [3] that looks at `target` [3] with `world_up` upwards.

        Raises:
            ValueError: `eye` and `target` coincide, or `world_up` points along the view.
        """
        pose = look_at(*(torch.tensor(np.asarray(v)) for v in (eye, target, world_up)))
        distance = float(np.linalg.norm(np.subtract(target, eye)))
        return cls.from_pose(pose.numpy(), distance, fov_y, world_up)

    @classmethod
    def from_pose(
        cls, c2w: np.ndarray, distance: float, fov_y: float, world_up: Vector
    ) -> ViewCamera:
        """A camera with the pose `c2w` [3, 4], whose rotation is made exact."""
        c2w = np.asarray(c2w, dtype=np.float64)
        u, _, vh = np.linalg.svd(c2w[:, :3])
        up = np.asarray(world_up, dtype=np.float64)
        return cls(u @ vh, c2w[:, 3].copy(), distance, fov_y, up / np.linalg.norm(up))

    # ---- what it is -----------------------------------------------------------------------

    @property
    def c2w(self) -> np.ndarray:
        """[3, 4] camera-to-world pose."""
        return np.concatenate([self.rotation, self.position[:, None]], axis=1)

    @property
    def forward(self) -> np.ndarray:
        """[3] unit vector along the view."""
        return -self.rotation[:, 2]

    @property
    def target(self) -> np.ndarray:
        """[3] the centre of orbits."""
        return self.position + self.distance * self.forward

    def cameras(self, width: int, height: int) -> Cameras:
        """This camera as `Cameras` of one view with an image of the given size."""
        focal = 0.5 * height / math.tan(0.5 * self.fov_y)
        return Cameras(
            c2w=torch.from_numpy(self.c2w).float()[None],
            fx=torch.tensor([focal]),
            fy=torch.tensor([focal]),
            cx=torch.tensor([0.5 * width]),
            cy=torch.tensor([0.5 * height]),
            width=torch.tensor([width]),
            height=torch.tensor([height]),
        )

    def project_segments(self, segments: np.ndarray, width: int, height: int) -> np.ndarray:
        """Project line segments into the image; parts behind the camera are cut off.

        Args:
            segments: [K, 2, 3] end points in the world.
            width, height: image size, pixels.

        Returns:
            [K', 2, 2] end points in image coordinates (x, y), for those K' <= K that reach in
            front of the camera; they may lie outside of the image.
        """
        near = _NEAR_SHARE * self.distance
        ends = (segments - self.position) @ self.rotation
        depth = -ends[..., 2]
        ends = ends[(depth > near).any(1)]
        depth = -ends[..., 2]
        # An end point behind the camera moves to where its segment crosses the near plane.
        share = (near - depth) / np.where(depth == depth[:, ::-1], 1.0, depth[:, ::-1] - depth)
        moved = ends + share[..., None] * (ends[:, ::-1] - ends)
        ends = np.where((depth < near)[..., None], moved, ends)
        focal = 0.5 * height / math.tan(0.5 * self.fov_y)
        plane = ends[..., :2] / -ends[..., 2:]
        return plane * [focal, -focal] + [0.5 * width, 0.5 * height]

    # ---- moves ----------------------------------------------------------------------------

    def orbit(self, yaw: float, pitch: float) -> ViewCamera:
        """Turn about the target: `yaw` radians around the world's up, `pitch` radians upwards."""
        if not (yaw or pitch):
            return self
        rotation = self._turned(yaw, pitch)
        position = self.target + self.distance * rotation[:, 2]
        return replace(self, rotation=rotation, position=position)

    def look(self, yaw: float, pitch: float) -> ViewCamera:
        """Turn in place: `yaw` radians to the left, `pitch` radians of the view upwards."""
        if not (yaw or pitch):
            return self
        return replace(self, rotation=self._turned(yaw, -pitch))

    def pan(self, right: float, up: float) -> ViewCamera:
        """Shift the camera and its target, in heights of the picture at the target's distance."""
        height = 2.0 * self.distance * math.tan(0.5 * self.fov_y)
        return self.fly(right * height, up * height, 0.0)

    def fly(self, right: float, up: float, forward: float) -> ViewCamera:
        """Shift the camera and its target along its own axes, world units."""
        if not (right or up or forward):
            return self
        return replace(self, position=self.position + self.rotation @ [right, up, -forward])

    def dolly(self, amount: float) -> ViewCamera:
        """Multiply the distance to the target by `exp(amount)`; the target stays."""
        return self.at_distance(self.distance * math.exp(amount)) if amount else self

    def at_distance(self, distance: float) -> ViewCamera:
        """Move to a distance from the target, world units."""
        if distance == self.distance:
            return self
        return replace(self, position=self.target - distance * self.forward, distance=distance)

    def with_fov(self, fov_y: float) -> ViewCamera:
        """The same place with another angle of view, clamped to `FOV_RANGE`."""
        fov_y = min(max(fov_y, FOV_RANGE[0]), FOV_RANGE[1])
        return self if fov_y == self.fov_y else replace(self, fov_y=fov_y)

    def _turned(self, yaw: float, pitch: float) -> np.ndarray:
        """The rotation after turning its backward axis; keeps roll, avoids the poles."""
        rotation = rotation_about(self.world_up, yaw) @ self.rotation
        backward = rotation[:, 2]
        angle = math.acos(float(np.clip(backward @ self.world_up, -1.0, 1.0)))  # from above
        axis = np.cross(self.world_up, backward)
        length = np.linalg.norm(axis)
        axis = axis / length if length > 1e-9 else rotation[:, 0]
        if pitch:
            wanted = min(max(angle - pitch, POLE), math.pi - POLE)
            rotation = rotation_about(axis, wanted - angle) @ rotation
        u, _, vh = np.linalg.svd(rotation)  # rounding must not add up over thousands of turns
        return u @ vh
