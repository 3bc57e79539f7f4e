"""Paths through and around the training cameras."""

import math

import pytest
import torch
from scene_makers import make_cameras, orbit_poses

from taichi_pynerf.geometry.cameras import look_at
from taichi_pynerf.geometry.rays import view_rays
from taichi_pynerf.rendering.camera_paths import (
    PATHS,
    camera_path,
    farthest,
    path_cameras,
    resized_cameras,
    scene_up,
    tour,
)
from taichi_pynerf.rendering.pose_interpolation import interpolate_poses

Z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def forward_facing(num_views=9):
    """Cameras in a plane, all looking along -z of the world at a wall 5 units off; y is up."""
    places = torch.cartesian_prod(torch.linspace(-1, 1, 3), torch.linspace(-0.5, 0.5, 3))
    return torch.stack([look_at((x, y, 0.0), (0, 0, -5.0), (0, 1, 0)) for x, y in places.tolist()])


def angles_between(a, b):
    """Degrees between the rotations of poses."""
    cosine = ((a[:, :, :3].mT @ b[:, :, :3]).diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return torch.rad2deg(cosine.double().clamp(-1, 1).acos())


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("poses", [orbit_poses(12), forward_facing()], ids=["around", "forward"])
@pytest.mark.parametrize("num_frames", [1, 2, 60])
def test_a_path_is_of_upright_poses_that_are_near_to_each_other(kind, poses, num_frames):
    path = camera_path(kind, poses, num_frames)
    assert path.shape == (num_frames, 3, 4)
    assert path.dtype == torch.float32
    assert path.isfinite().all()
    rotations = path[:, :, :3]
    torch.testing.assert_close(
        rotations.mT @ rotations, torch.eye(3).expand(num_frames, 3, 3), rtol=0, atol=1e-5
    )
    assert (torch.linalg.det(rotations) > 0.99).all()
    assert (rotations[:, :, 1].double() @ scene_up(poses) > 0).all()
    if num_frames == 60:
        assert angles_between(path[1:], path[:-1]).max() < 25
        assert not torch.equal(path[0], path[30])


def test_up_is_found_whether_the_cameras_stand_around_or_side_by_side():
    torch.testing.assert_close(scene_up(orbit_poses(12)), Z, rtol=0, atol=1e-6)
    half = scene_up(orbit_poses(12)[:6])  # of all on one side the mean up axis would lean
    torch.testing.assert_close(half, Z, rtol=0, atol=1e-6)
    up = scene_up(forward_facing())
    torch.testing.assert_close(up, torch.tensor([0.0, 1.0, 0.0]).double(), rtol=0, atol=1e-2)


def test_an_orbit_goes_once_around_at_one_height_and_distance():
    poses = orbit_poses(12)
    path = camera_path("orbit", poses, 40)
    places = path[:, :, 3].double()
    distance = poses[:, :, 3].norm(dim=-1).mean().double()
    torch.testing.assert_close(places.norm(dim=-1), distance.expand(40), rtol=1e-4, atol=0)
    assert (places[:, 2] - places[0, 2]).abs().max() < 1e-4
    around = torch.atan2(places[:, 1], places[:, 0])
    steps = torch.remainder(around.diff() + math.pi, 2 * math.pi) - math.pi
    torch.testing.assert_close(steps, steps[:1].expand(39), rtol=1e-3, atol=1e-5)
    assert float(steps.sum().abs()) == pytest.approx(2 * math.pi * 39 / 40, rel=1e-3)
    forward = -path[:, :, 2].double()  # towards the middle
    torch.testing.assert_close(forward, -places / distance, rtol=0, atol=1e-4)


def test_a_zoom_comes_nearer_by_one_factor_and_holds_the_view():
    path = camera_path("zoom", orbit_poses(12), 30)
    distances = path[:, :, 3].norm(dim=-1)
    ratios = distances[1:] / distances[:-1]
    torch.testing.assert_close(ratios, ratios[:1].expand(29), rtol=1e-4, atol=0)
    assert distances[0] / distances[-1] > 5
    assert angles_between(path[1:], path[:-1]).max() < 0.1


def test_a_spiral_stays_near_cameras_that_all_look_one_way_and_winds_around_others():
    poses = forward_facing()
    path = camera_path("spiral", poses, 48)
    assert path[:, 2, 3].abs().max() < 0.5
    assert path[:, :2, 3].abs().max() < 1.5
    assert (path[:, 2, 2] > 0.8).all()  # looking along -z
    around = camera_path("spiral", orbit_poses(12), 48)[:, :, 3]
    assert around[:, 2].diff().min() > 0  # from the lowest elevation up
    assert around[:, 0].max() > 2
    assert around[:, 0].min() < -2


def test_interpolation_goes_through_its_keys_smoothly():
    keys = orbit_poses(5)
    frames = interpolate_poses(keys, 401)
    torch.testing.assert_close(frames[0], keys[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(frames[-1], keys[-1], rtol=0, atol=1e-5)
    for key in keys:
        gaps = (frames[:, :, 3] - key[:, 3]).norm(dim=-1)
        assert gaps.min() < 0.02
        assert angles_between(frames[gaps.argmin()][None], key[None]) < 0.5
    speed = frames[:, :, 3].diff(dim=0)
    bend = (speed.diff(dim=0)).norm(dim=-1).max() / speed.norm(dim=-1).mean()
    assert bend < 0.1  # no corner at a key
    turn = angles_between(frames[1:], frames[:-1])
    assert turn.max() < 3 * turn.mean()


def test_keys_can_be_passed_at_even_intervals_of_time():
    keys = orbit_poses(9)[[0, 1, 4, 5]]  # the second way is three times as long
    frames = interpolate_poses(keys, 31, evenly=True)
    torch.testing.assert_close(frames[::10], keys, rtol=0, atol=1e-5)
    along = interpolate_poses(keys, 31)[10]
    assert (along - keys[1]).abs().max() > 0.1  # by the way, it is passed earlier


def test_a_closed_path_comes_back_and_shows_no_frame_twice():
    keys = orbit_poses(4)
    frames = interpolate_poses(keys, 100, closed=True)
    torch.testing.assert_close(frames[0], keys[0], rtol=0, atol=1e-5)
    step = (frames[1, :, 3] - frames[0, :, 3]).norm()
    back = (frames[0, :, 3] - frames[-1, :, 3]).norm()
    assert float(back) == pytest.approx(float(step), rel=0.2)


def test_rotations_take_the_shorter_way_and_equal_keys_stand_still():
    a = look_at((0.0, 0.0, 0.0), (1.0, 0.0, 0.0))
    angle = math.radians(175)
    b = look_at((0.0, 0.0, 0.0), (math.cos(angle), math.sin(angle), 0.0))
    frames = interpolate_poses(torch.stack([a, b]), 36)
    turn = angles_between(frames[1:], frames[:-1])
    torch.testing.assert_close(turn, torch.full_like(turn, 5.0), rtol=0, atol=1e-2)
    still = interpolate_poses(torch.stack([a, a, a]), 7)
    torch.testing.assert_close(still, a.expand(7, 3, 4), rtol=0, atol=1e-6)


def test_a_tour_goes_from_neighbour_to_neighbour():
    poses = orbit_poses(10)[torch.tensor([0, 5, 1, 6, 2, 7, 3, 8, 4, 9])]
    order = tour(poses)
    assert sorted(order) == list(range(10))
    steps = (poses[order][1:, :, 3] - poses[order][:-1, :, 3]).norm(dim=-1)
    assert steps.max() < 1.3 * steps.min()


def test_the_cameras_of_a_path_see_as_far_up_as_the_training_cameras():
    like = make_cameras(2, width=40, height=20, focal=30.0)
    cameras = path_cameras(like, orbit_poses(3), 64, 40)
    assert len(cameras) == 3
    assert (cameras.fy == 60).all()
    assert (cameras.fx == 60).all()
    assert (cameras.cx[0], cameras.cy[0]) == (32, 20)
    resized = resized_cameras(like, 64, 40)
    top, wider = view_rays(like, 0).rays_d[20], view_rays(resized, 0).rays_d[32]
    assert float(resized.fy[0] / resized.height[0]) == pytest.approx(30 / 20)
    assert float(top @ wider) > 0.99


def test_far_is_where_the_whole_box_is_seen():
    cameras = path_cameras(make_cameras(), torch.stack([look_at((0, 30.0, 0), (0, 0, 0))]), 8, 8)
    box = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
    assert farthest(cameras, box, 6.0) == pytest.approx(30 + math.sqrt(3), rel=1e-5)
    assert farthest(cameras, box, 600.0) == 600.0


def test_wrong_paths_are_refused():
    with pytest.raises(ValueError, match="figure_eight"):
        camera_path("figure_eight", orbit_poses(3), 5)
    with pytest.raises(ValueError, match="frames"):
        camera_path("orbit", orbit_poses(3), 0)
    with pytest.raises(ValueError, match="cameras"):
        camera_path("orbit", orbit_poses(3)[:0], 5)
