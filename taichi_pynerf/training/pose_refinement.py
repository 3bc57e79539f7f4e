"""Corrections of the cameras' poses, learned with the scene.

Poses from structure from motion are good to a pixel or so, and what they miss blurs the scene.
Each camera gets a rotation and a translation of its own, whose gradients come through the rays'
origins and directions (iNeRF, Yen-Chen et al. 2021; BARF, Lin et al. 2021).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.rays import Rays


class PoseRefinement(nn.Module):
    """A small rigid motion for each camera: a turn about its own centre, and a shift.

    Together they reach every pose, as an element of SE(3) does; but turning a camera about its
    centre does not move it, which keeps the two apart and the gradients well scaled.

    Args:
        cameras: V views; those of one pose, such as the scales of a picture, are one camera.
        unit: length of a shift of 1, world units; with the size of the scene box one learning
            rate suits both kinds of numbers.
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
            rays: N rays of the cameras as they were given.
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
        """How far the cameras moved: medians and greatest, in world units and in degrees."""
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

    Differentiable, at no rotation too: sin(x) / x and (1 - cos(x)) / x^2 are smooth there.
    """
    x, y, z = rotations.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)
    # The square root alone has no derivative at 0; there it is kept from it by a hair.
    angle = (rotations.square().sum(-1) + 1e-12).sqrt().view(-1, 1, 1)
    half = torch.sinc(angle / (2 * torch.pi))
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return identity + torch.sinc(angle / torch.pi) * cross + half.square() / 2 * (cross @ cross)
