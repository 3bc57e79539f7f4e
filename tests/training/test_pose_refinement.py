"""Poses corrected with the scene: the motion, its gradients, and its convergence."""

import math

import pytest
import torch
from scene_makers import make_cameras
from tiny import ball_scene, rays_through_box, tiny_model
from torch.nn import functional

from benchmarks.pose_refinement import scene_motion
from taichi_pynerf.data import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.geometry.rays import view_rays
from taichi_pynerf.training.pose_refinement import PoseRefinement, rotation_matrices
from taichi_pynerf.training.trainer import PyNeRFTrainer


def test_rotations_are_rodrigues_and_smooth_at_none():
    axis = functional.normalize(torch.tensor([1.0, 2.0, -2.0]), dim=0)
    turn = rotation_matrices((math.pi / 2 * axis)[None])[0]
    torch.testing.assert_close(turn @ axis, axis)
    across = functional.normalize(torch.tensor([2.0, -1.0, 0.0]), dim=0)
    torch.testing.assert_close(turn @ across, torch.linalg.cross(axis, across))
    torch.testing.assert_close(torch.linalg.det(turn), torch.tensor(1.0))
    rotations = torch.tensor(
        [[0.0, 0.0, 0.0], [0.3, -0.1, 0.2]], dtype=torch.float64, requires_grad=True
    )
    exponential = torch.linalg.matrix_exp(_cross(rotations.detach()))
    torch.testing.assert_close(rotation_matrices(rotations.detach()), exponential)
    assert torch.autograd.gradcheck(rotation_matrices, (rotations,), atol=1e-5)


def _cross(v):
    zero = torch.zeros_like(v[:, 0])
    x, y, z = v.unbind(-1)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)


def moved(poses, seed=0, degrees=1.0, share=0.01):
    """Give corrections random values of the given sizes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter, size in (
            (poses.rotations, math.radians(degrees)),
            (poses.shifts, share),
        ):
            towards = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(size * functional.normalize(towards, dim=-1))
    return poses


def test_rays_are_those_of_the_refined_cameras_and_fresh_ones_are_unchanged():
    cameras = make_cameras(3, width=6, height=4, focal=9.0)
    poses = PoseRefinement(cameras, unit=2.0)
    views = torch.ones(24, dtype=torch.int64)
    given = view_rays(cameras, 1)
    for name, was in (("rays_o", given.rays_o), ("rays_d", given.rays_d)):
        torch.testing.assert_close(getattr(poses(given, views), name), was)
    moved(poses, degrees=5.0, share=0.1)
    out, want = poses(given, views), view_rays(poses.refined(cameras), 1)
    torch.testing.assert_close(out.rays_o, want.rays_o)
    torch.testing.assert_close(out.rays_d, want.rays_d)
    assert (want.rays_o - given.rays_o).norm(dim=-1).mean() == pytest.approx(0.2, rel=1e-3)


def test_the_scales_of_a_picture_are_one_camera():
    data = MultiScaleDataset.from_scene(ball_scene(4), (1, 2, 4))
    poses = PoseRefinement(data.cameras)
    assert poses.rotations.shape == (4, 3)
    first = poses.camera_of_view.view(3, 4)
    assert (first == first[0]).all()
    assert sorted(first[0].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("cull_hidden", [0.0, 1e-3])
@pytest.mark.parametrize("single_level", [False, True])
def test_gradients_are_those_of_finite_differences(cull_hidden, single_level):
    """Of the colours of rays in the turn and the shift of all of them, samples held fixed."""
    model = tiny_model(cull_hidden=cull_hidden, single_level=single_level).train()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for encoder in model.field.encoders:
            encoder.table.copy_(torch.randn(encoder.table.shape, generator=generator))
    rays = rays_through_box(40)
    poses = PoseRefinement(make_cameras(1, width=4, height=4, focal=4.0))
    views = torch.zeros(40, dtype=torch.int64)
    probe = torch.randn(40, 3, generator=generator)
    samples = model.renderer._march(rays, torch.full((40,), 0.5), 64)
    model.renderer._march = lambda *_: samples

    def value(shift=None, axis=0, name="shifts"):
        with torch.no_grad():
            poses.shifts.zero_(), poses.rotations.zero_()
            if shift is not None:
                getattr(poses, name)[0, axis] = shift
        out = model.renderer.train_rays(poses(rays, views), torch.Generator().manual_seed(1))
        return (out.rgb * probe).sum()

    value().backward()
    step = 2e-4
    for name in ("shifts", "rotations"):
        gradient = getattr(poses, name).grad[0]
        assert gradient.norm() > 0
        for axis in range(3):
            with torch.no_grad():
                ends = [value(sign * step, axis, name) for sign in (1, -1)]
            slope = float(ends[0] - ends[1]) / (2 * step)
            assert float(gradient[axis]) == pytest.approx(
                slope, rel=0.1, abs=0.1 * float(gradient.norm())
            )


def trainer_on(data, **settings):
    settings = {"pose_learning_rate": 3e-3, "background": "black", "carve": True, **settings}
    return PyNeRFTrainer(tiny_model(**settings), train_dataset=data, progress=False)


def perturbed(data, degrees, share):
    """The data set with its cameras moved at random."""
    poses = moved(PoseRefinement(data.cameras, unit=2.0), degrees=degrees, share=share)
    data.cameras = poses.refined(data.cameras)
    return data


@pytest.mark.parametrize("seed", [0, 1])
def test_training_finds_the_true_poses(seed):
    """Cameras that are 3 degrees off come closer to where they were, but for a motion of them all.

    The training error is no measure of this: how well a field makes up for wrong poses varies
    more from seed to seed than what is gained.
    """
    data = PyNeRFDataset.from_scene(ball_scene(8, 24))
    true = data.cameras
    wrong = perturbed(data, degrees=3.0, share=0.0).cameras
    trainer = trainer_on(data, carve=False, max_steps=200, seed=seed)
    trainer.train()
    before, after = (
        scene_motion(true, cameras, trainer.model.renderer.box).residual
        for cameras in (wrong, trainer.poses.refined(wrong))
    )
    assert after < 0.6 * before


def test_off_by_default_and_on_it_neither_carves_nor_forgets(tmp_path):
    data = PyNeRFDataset.from_scene(ball_scene(4, 16))
    assert trainer_on(data, pose_learning_rate=0.0).poses is None
    trainer = trainer_on(data, max_steps=4, warmup_steps=1)
    trainer.train_step(), trainer.train_step()
    assert not trainer.poses.rotations.any(), "poses wait until the field has warmed up"
    trainer.train()
    assert trainer.model.occupancy.possible.all()
    assert trainer.poses.rotations.abs().min() > 0
    fresh = trainer_on(data, max_steps=4)
    fresh.load_state_dict(trainer.state_dict())
    for own, other in zip(fresh.poses.parameters(), trainer.poses.parameters(), strict=True):
        assert torch.equal(own, other)
    assert len(fresh.optimizers["poses"].state_dict()["state"]) == 2


def test_the_learning_rate_of_the_poses_is_their_own():
    data = PyNeRFDataset.from_scene(ball_scene(4, 16))
    trainer = trainer_on(data, max_steps=50, warmup_steps=0)
    trainer.train_step()
    rates = {name: opt.param_groups[0]["lr"] for name, opt in trainer.optimizers.items()}
    assert rates["poses"] == pytest.approx(3e-3)
    assert rates["networks"] == rates["tables"] == pytest.approx(5e-2)
