"""The benchmark of refined poses: its changes to cameras."""

import dataclasses
import math

import pytest
import torch
from scene_makers import make_cameras

from benchmarks.pose_refinement import perturbed, scene_motion
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.training.pose_refinement import rotation_matrices

BOX = SceneBox((-1.0, -1.0, -1.0, 1.0, 1.0, 1.0))


def test_cameras_are_turned_and_moved_by_what_is_asked():
    cameras = make_cameras(5, width=8, height=8, focal=9.0)
    wrong = perturbed(cameras, degrees=2.0, shift=0.1, seed=1)
    shifts = (wrong.c2w - cameras.c2w)[:, :, 3].norm(dim=-1)
    torch.testing.assert_close(shifts, torch.full((5,), 0.1))
    turns = wrong.c2w[:, :, :3] @ cameras.c2w[:, :, :3].transpose(1, 2)
    traces = turns.diagonal(dim1=1, dim2=2).sum(-1)
    degrees = ((traces - 1) / 2).acos() * 180 / math.pi
    torch.testing.assert_close(degrees, torch.full((5,), 2.0), rtol=0, atol=0.05)


def test_a_motion_of_all_cameras_is_that_of_the_scene():
    true = make_cameras(6, width=8, height=8, focal=9.0)
    test = make_cameras(3, width=8, height=8, focal=9.0)
    turn = rotation_matrices(torch.tensor([[0.1, -0.2, 0.3]]))[0]
    shift = torch.tensor([0.3, -0.1, 0.2])

    def moved(cameras):
        c2w = turn @ cameras.c2w
        c2w[:, :, 3] += shift
        return dataclasses.replace(cameras, c2w=c2w)

    motion = scene_motion(true, moved(true), BOX)
    torch.testing.assert_close(motion.of(test).c2w, moved(test).c2w, rtol=0, atol=1e-5)
    assert motion.residual < 1e-5
    same = scene_motion(true, true, BOX)
    torch.testing.assert_close(same.of(test).c2w, test.c2w, rtol=0, atol=1e-5)


def test_what_no_motion_explains_is_left():
    """A turn of 3 degrees displaces a point 3 units away by 0.16 units, less the common motion."""
    true = make_cameras(60, width=8, height=8, focal=9.0)
    distance = float(true.c2w[:, :, 3].norm(dim=-1).mean())
    wrong = perturbed(true, degrees=3.0, shift=0.0, seed=0)
    motion = scene_motion(true, wrong, BOX)
    across = math.pi / 4  # mean sine between a random axis and the line of sight
    assert motion.residual == pytest.approx(across * math.radians(3.0) * distance, rel=0.1)
    shifted = perturbed(true, degrees=0.0, shift=0.2, seed=0)
    assert scene_motion(true, shifted, BOX).residual == pytest.approx(0.2, rel=0.1)
