"""The viewer's camera: what each move keeps, and where things land in the picture."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import ball_scene

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.geometry.cameras import look_at
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.viewer.camera import FOV_RANGE, POLE, ViewCamera
from taichi_pynerf.viewer.views import TrainingViews, initial_camera

UP = (0.0, 0.0, 1.0)
amounts = st.floats(-3.0, 3.0)


def camera(eye=(3.0, -2.0, 1.5), target=(0.2, 0.1, -0.3), fov=0.7):
    return ViewCamera.looking_at(eye, target, UP, fov)


def elevation(view):
    """Angle of the backward axis from straight above."""
    return math.acos(np.clip(view.rotation[:, 2] @ view.world_up, -1, 1))


@given(st.lists(st.tuples(amounts, amounts), max_size=30))
def test_orbits_keep_target_distance_and_horizon(turns):
    start = moved = camera()
    for yaw, pitch in turns:
        moved = moved.orbit(yaw, pitch)
        assert POLE - 1e-6 <= elevation(moved) <= math.pi - POLE + 1e-6
    np.testing.assert_allclose(moved.target, start.target, atol=1e-6)
    np.testing.assert_allclose(moved.rotation.T @ moved.rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(moved.rotation) == pytest.approx(1.0)
    assert moved.rotation[:, 0] @ moved.world_up == pytest.approx(0.0, abs=1e-6)  # no roll
    assert moved.distance == start.distance


def test_an_orbit_goes_the_way_the_hand_goes():
    start = ViewCamera.looking_at((0, -4, 0), (0, 0, 0), UP, 0.7)
    right = start.orbit(math.pi / 2, 0.0)  # counter-clockwise, from above
    np.testing.assert_allclose(right.position, (4, 0, 0), atol=1e-6)
    above = start.orbit(0.0, math.pi / 4)
    np.testing.assert_allclose(above.position, (0, -(8**0.5), 8**0.5), atol=1e-6)


def test_looking_around_stays_in_place():
    start = camera()
    turned = start.look(0.3, 0.2)
    np.testing.assert_array_equal(turned.position, start.position)
    assert elevation(turned) > elevation(start)  # looks up: its back goes down
    left = np.cross(start.world_up, start.forward)
    assert start.look(0.3, 0.0).forward @ left > 0.1


def test_a_rolled_camera_keeps_its_roll():
    start, angle = camera(), 0.4
    roll = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    rolled = ViewCamera(
        start.rotation @ roll, start.position, start.distance, start.fov_y, start.world_up
    )

    def roll_of(view):
        level = np.cross(view.world_up, view.rotation[:, 2])
        return math.acos(view.rotation[:, 0] @ level / np.linalg.norm(level))

    assert roll_of(rolled.orbit(0.7, -0.2)) == pytest.approx(angle)


def test_from_straight_above_an_orbit_comes_down():
    pose = np.concatenate([np.eye(3), [[0.0], [0.0], [4.0]]], axis=1)
    top = ViewCamera.from_pose(pose, 4.0, 0.7, UP)
    assert elevation(top.orbit(0.0, -0.5)) == pytest.approx(0.5)


def test_pan_moves_the_target_across_the_picture():
    start = camera()
    moved = start.pan(0.0, 0.25)
    segments = np.stack([start.target, start.target + 1e-3])[None]
    (line,) = moved.project_segments(segments, 400, 200)
    np.testing.assert_allclose(line[0], (200, 150), atol=1e-3)  # a quarter of the height down
    assert moved.distance == start.distance


@given(amounts)
def test_dolly_keeps_the_target(amount):
    start = camera()
    moved = start.dolly(amount)
    np.testing.assert_allclose(moved.target, start.target, atol=1e-9)
    assert moved.distance == pytest.approx(start.distance * math.exp(amount))


def test_flying_goes_along_the_axes():
    start = camera()
    moved = start.fly(1.0, 2.0, 3.0)
    np.testing.assert_allclose(start.rotation.T @ (moved.position - start.position), (1, 2, -3))


def test_no_move_is_the_same_object():
    start = camera()
    still = (
        start.orbit(0.0, 0.0), start.look(0.0, 0.0), start.pan(0.0, 0.0), start.dolly(0.0),
        start.fly(0.0, 0.0, 0.0), start.with_fov(start.fov_y), start.at_distance(start.distance),
    )  # fmt: skip
    assert all(moved is start for moved in still)
    assert start.with_fov(9.0).fov_y == FOV_RANGE[1]


def test_lines_land_where_rays_come_from():
    view = camera()
    cameras = view.cameras(64, 48)
    points = torch.tensor([[0.3, 0.2, 0.1], [-0.5, 0.4, -0.2]])
    pixels, _ = cameras.project(0, points)
    segments = np.stack([points.numpy(), points.numpy() * 0.5], axis=1)
    lines = view.project_segments(segments, 64, 48)
    np.testing.assert_allclose(lines[:, 0], pixels.numpy(), atol=1e-3)


def test_lines_are_cut_behind_the_camera():
    view = ViewCamera.looking_at((0, -4, 0), (0, 0, 0), UP, 0.7)
    ahead, behind, aside = (0.0, 0.0, 0.5), (0.0, -9.0, 0.5), (1.0, -9.0, 0.5)
    lines = view.project_segments(np.array([[ahead, behind], [behind, aside]]), 64, 48)
    assert lines.shape == (1, 2, 2)  # what is behind as a whole is gone
    assert np.isfinite(lines).all()
    assert lines[0, 1, 1] < -1000  # far above the picture: it passes over the camera


# ---- training views ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def views():
    return TrainingViews(PyNeRFDataset.from_scene(ball_scene()), size=2.0)


def test_training_cameras_look_at_their_focus(views):
    np.testing.assert_allclose(views.focus, 0.0, atol=1e-4)
    assert views.world_up[2] > 0.9
    for view in range(len(views)):
        seen = views.camera(view)
        np.testing.assert_allclose(seen.target, 0.0, atol=1e-4)
        np.testing.assert_allclose(seen.c2w, views.c2w[view], atol=1e-6)
        assert views.nearest(seen) == view


def test_a_training_camera_sees_what_its_image_shows(views):
    own = views.camera(2).cameras(16, 16)
    torch.testing.assert_close(own.fx, views.cameras.fx[2:3])
    torch.testing.assert_close(own.c2w, views.cameras.c2w[2:3])


def test_cameras_side_by_side_turn_about_what_is_before_them():
    scene = ball_scene(num_views=3)
    poses = torch.stack([look_at((x, -3.0, 0.0), (x, 0.0, 0.0)) for x in (-0.5, 0.0, 0.5)])
    scene.cameras.c2w.copy_(poses)
    views = TrainingViews(PyNeRFDataset.from_scene(scene), size=2.0)
    for view in range(3):
        assert views.camera(view).distance > 0.05


def test_without_images_the_whole_box_is_in_view():
    box = SceneBox((-1.0, -2.0, 0.0, 3.0, 2.0, 1.0))
    view = initial_camera(None, box)
    corners = np.array([[x, y, z] for x in (-1, 3) for y in (-2, 2) for z in (0, 1)], dtype=float)
    lines = view.project_segments(np.stack([corners, corners * 0.999], axis=1), 100, 100)
    assert len(lines) == 8
    assert (lines >= 0).all()
    assert (lines <= 100).all()
