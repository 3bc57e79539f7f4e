"""Corrections of the cameras' poses, learned with the scene.

Poses from structure from motion are good to about a pixel, and the rest of the error blurs the
scene. Each camera gets its own rotation and translation. Their gradients come through the origins
and directions of the rays (iNeRF, Yen-Chen et al. 2021; BARF, Lin et al. 2021).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.rays import Rays


class PoseRefinement(nn.Module):
    """A small rigid motion for each camera: a rotation about its own centre, and a shift.

    The two together reach every pose, as elements of SE(3) do. But a rotation about the camera's
    centre does not move it, which separates the two and keeps the gradients well scaled.

    Args:
        cameras: V views; views of one pose, such as the scales of a picture, are one camera.
        unit: world units that a shift of 1 stands for. The size of the scene box lets one learning
            rate suit both rotations and shifts.
    """

    camera_of_view: torch.Tensor

    def __init__(self, cameras: Cameras, unit: float = 1.0):
        super().__init__()
        poses, camera_of_view = torch.unique(
            cameras.c2w.reshape(len(cameras), 12), dim=0, return_inverse=True
        )
        self.unit = unit
        self.register_buffer("camera_of_view", camera_of_view)
        self.rotations = nn.Parameter(torch.zeros(len(poses), 3))
        self.shifts = nn.Parameter(torch.zeros(len(poses), 3))

    def forward(self, rays: Rays, view_indices: torch.Tensor) -> Rays:
        """The rays as the corrected cameras cast them. Differentiable in the corrections.

        Args:
            rays: N rays of the uncorrected cameras.
            view_indices: int64 [N] the view of each ray.
        """
        camera = self.camera_of_view.index_select(0, view_indices)
        turns = rotation_matrices(self.rotations).index_select(0, camera)
        shifts = self.unit * self.shifts.index_select(0, camera)
        return dataclasses.replace(
            rays,
            rays_o=rays.rays_o + shifts,
            rays_d=torch.bmm(turns, rays.rays_d.unsqueeze(-1)).squeeze(-1),
        )

    @torch.no_grad()
    def motion(self) -> dict[str, float]:
        """Median and greatest motion of the cameras, in world units and in degrees."""
        shifts = self.unit * self.shifts.norm(dim=-1)
        turns = self.rotations.norm(dim=-1).rad2deg()
        return {
            "shift_median": float(shifts.median()),
            "shift_greatest": float(shifts.max()),
            "turn_median": float(turns.median()),
            "turn_greatest": float(turns.max()),
        }

    @torch.no_grad()
    def refined(self, cameras: Cameras) -> Cameras:
        """The V views that this was made for, with their corrected poses."""
        camera = self.camera_of_view.to(cameras.c2w.device)
        turns = rotation_matrices(self.rotations).to(camera.device)[camera]
        shifts = self.unit * self.shifts.to(camera.device)[camera]
        turned, position = turns @ cameras.c2w[:, :, :3], cameras.c2w[:, :, 3] + shifts
        return dataclasses.replace(cameras, c2w=torch.cat([turned, position.unsqueeze(-1)], -1))


def rotation_matrices(rotations: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [K, 3, 3] of axis-angle vectors [K, 3], in radians (Rodrigues' formula).

    Differentiable, even at zero rotation: sin(x) / x and (1 - cos(x)) / x^2 are smooth there.
    """
    x, y, z = rotations.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)
    # The square root has no derivative at 0; the small number keeps away from it.
    angle = (rotations.square().sum(-1) + 1e-12).sqrt().view(-1, 1, 1)
    half = torch.sinc(angle / (2 * torch.pi))
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return identity + torch.sinc(angle / torch.pi) * cross + half.square() / 2 * (cross @ cross)
