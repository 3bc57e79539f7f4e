"""Rotations [3, 3] from quaternions, axes and angles, in NumPy."""

from __future__ import annotations

import numpy as np


def rotation_of_quaternion(x: float, y: float, z: float, w: float) -> np.ndarray:
    """The rotation of a quaternion of any length but 0, with its real part w."""
    vector, length = np.array([x, y, z], dtype=np.float64), np.linalg.norm([x, y, z, w])
    cross, real = cross_matrix(vector / length), w / length
    return np.eye(3) + 2 * real * cross + 2 * cross @ cross


def rotation_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """The rotation by `angle` radians about a unit axis [3] (Rodrigues' formula)."""
    cross = cross_matrix(axis)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def cross_matrix(v: np.ndarray) -> np.ndarray:
    """The matrix [3, 3] whose product with a vector is the cross product of `v` with it."""
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
