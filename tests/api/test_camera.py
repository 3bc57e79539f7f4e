"""Cameras made from a pose and a focal length, and the values that are refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scene_makers import make_cameras, orbit_poses

from taichi_pynerf import Camera
from taichi_pynerf.errors import CameraError

POSE = orbit_poses(1)[0].numpy()


def test_a_camera_is_what_it_was_made_from():
    camera = Camera.from_pose(POSE, (30, 40), 16, 8, principal_point=(7.0, 3.5))
    np.testing.assert_array_equal(camera.c2w, POSE)
    np.testing.assert_array_equal(camera.position, POSE[:, 3])
    assert (camera.focal, camera.width, camera.height) == ((30.0, 40.0), 16, 8)
    assert (float(camera.view.cx), float(camera.view.cy)) == (7.0, 3.5)


def test_one_focal_length_and_the_middle_are_the_defaults():
    camera, own = Camera.from_pose(POSE, 20.0, 16, 8), make_cameras(1).select([0])
    for name in ("c2w", "fx", "fy", "cx", "cy", "width", "height"):
        torch.testing.assert_close(getattr(camera.view, name), getattr(own, name))


def test_poses_of_four_rows_and_of_lists_do_too():
    full = np.concatenate([POSE, [[0, 0, 0, 1]]])
    for pose in (full, full.tolist(), torch.from_numpy(full)):
        np.testing.assert_array_equal(Camera.from_pose(pose, 20, 16, 8).c2w, POSE)


coordinates = st.floats(-5, 5, allow_nan=False)


@given(eye=st.tuples(coordinates, coordinates, coordinates))
def test_look_at_has_the_target_in_the_middle_and_up_upwards(eye):
    if np.hypot(eye[0], eye[1]) < 0.1:
        return  # right above the target: up is along the view
    camera = Camera.look_at(eye, (0, 0, 0), 100, 64, 48)
    points = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.01]])
    pixels, depth = camera.view.project(0, points)
    np.testing.assert_allclose(pixels[0], (32, 24), atol=1e-2)
    assert pixels[1, 1] < pixels[0, 1]  # rows run down
    assert float(depth[0]) == pytest.approx(np.linalg.norm(eye), rel=1e-5)


def test_a_resized_camera_sees_the_same():
    camera = Camera.from_pose(POSE, (30, 40), 16, 8, principal_point=(7.0, 3.5))
    large = camera.resized(32, 24)
    points = torch.rand(20, 3) - 0.5
    few, many = camera.view.project(0, points)[0], large.view.project(0, points)[0]
    torch.testing.assert_close(many, few * torch.tensor([2.0, 3.0]))
    assert (large.width, large.height) == (32, 24)


MIRRORED = POSE * [-1, 1, 1, 1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"c2w": np.eye(3)}, r"c2w must have shape \[3, 4\] or \[4, 4\], not \[3, 3\]"),
        ({"c2w": POSE[None]}, r"not \[1, 3, 4\]"),
        ({"c2w": "front"}, "c2w must be numbers"),
        ({"c2w": POSE * np.nan}, "c2w holds a value that is not finite"),
        ({"c2w": 2 * POSE}, "not a rotation"),
        ({"c2w": MIRRORED}, "not a rotation"),
        ({"c2w": np.vstack([POSE, [0, 0, 1, 1]])}, "last row"),
        ({"focal": 0}, "focal is 0: it must be above 0"),
        ({"focal": (1, 2, 3)}, r"focal must have shape \[\] or \[2\], not \[3\]"),
        ({"focal": np.inf}, "focal holds a value that is not finite"),
        ({"width": 0}, "width is 0: it must be a whole number"),
        ({"height": 8.5}, "height is 8.5: it must be a whole number"),
        ({"width": True}, "width is True"),
        ({"principal_point": 8}, r"principal_point must have shape \[2\], not \[\]"),
    ],
)
def test_what_is_wrong_is_named(changed, said):
    arguments = {"c2w": POSE, "focal": 20.0, "width": 16, "height": 8, **changed}
    with pytest.raises(CameraError, match=said):
        Camera.from_pose(**arguments)


def test_look_at_refuses_what_gives_no_pose():
    for eye, up in (((0, 0, 0), (0, 0, 1)), ((0, 0, 4), (0, 0, 1))):
        with pytest.raises(CameraError, match="look_at needs"):
            Camera.look_at(eye, (0, 0, 0), 20, 16, 8, up=up)
    with pytest.raises(CameraError, match=r"eye must have shape \[3\]"):
        Camera.look_at((1, 2), (0, 0, 0), 20, 16, 8)
