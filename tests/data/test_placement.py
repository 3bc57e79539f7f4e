import math

import numpy as np
import pytest
from format_makers import CENTER, circle_poses, forward_poses

from taichi_pynerf.data.placement import (
    AS_IT_IS,
    FROM_CAMERAS,
    Placement,
    SceneTransform,
    focus_point,
    rotation_to_z,
    transform_from_poses,
)
from taichi_pynerf.errors import SceneError


def asked(**values):
    return Placement(**values).or_else(AS_IT_IS)


def is_rotation(matrix):
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    return np.linalg.det(matrix) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "direction", [(0, 0, 2), (0, 0, -1), (1, 0, 0), (-0.3, 0.4, -5.0), (1e-12, 0, 0)]
)
def test_rotation_to_z(direction):
    rotation = rotation_to_z(np.array(direction, dtype=float))
    assert is_rotation(rotation)
    if np.linalg.norm(direction) > 1e-9:
        turned = rotation @ direction / np.linalg.norm(direction)
        np.testing.assert_allclose(turned, [0.0, 0.0, 1.0], atol=1e-12)


@pytest.mark.parametrize("orientation", ["up", "vertical", "pca", "none"])
@pytest.mark.parametrize("center", ["poses", "focus", "none"])
@pytest.mark.parametrize("auto_scale", [True, False])
def test_transforms_undo(orientation, center, auto_scale):
    poses = circle_poses(8)
    placement = asked(orientation=orientation, center=center, auto_scale=auto_scale)
    transform = transform_from_poses(poses, placement)
    assert is_rotation(transform.matrix[:, :3])
    placed = transform.apply_to_poses(poses)
    np.testing.assert_allclose(transform.undo_poses(placed), poses, atol=1e-12)
    if auto_scale:
        assert np.abs(placed[:, :, 3]).max() == pytest.approx(1.0)
    else:
        assert transform.scale == 1.0


def test_vertical_is_the_axis_that_a_circle_of_cameras_turns_around():
    """Cameras that look down on an orbit without roll: their mean up leans nowhere, but with a
    part of the circle missing it does, and only the horizontal axes tell the vertical."""
    poses = circle_poses(24)[:9]
    axis = np.array([0.1, 0.05, 1.0])  # what the cameras' horizontal axes are perpendicular to
    vertical = transform_from_poses(poses, asked(orientation="vertical")).matrix[:, :3]
    turned = vertical @ axis / np.linalg.norm(axis)
    np.testing.assert_allclose(turned, [0.0, 0.0, 1.0], atol=1e-6)
    up = transform_from_poses(poses, asked(orientation="up")).matrix[:, :3]
    assert (up @ axis)[2] < 0.99 * np.linalg.norm(axis)


def test_vertical_of_views_side_by_side_is_their_up():
    poses = forward_poses(6)
    vertical, up = (
        transform_from_poses(poses, asked(orientation=name)).matrix for name in ("vertical", "up")
    )
    np.testing.assert_allclose(vertical, up)


def test_pca_lays_the_cameras_flat():
    poses = circle_poses(24)
    placed = transform_from_poses(poses, asked(orientation="pca")).apply_to_poses(poses)
    spread = placed[:, :, 3].std(axis=0)
    assert spread[0] >= spread[1] > 3 * spread[2]
    assert placed[:, 2, 1].mean() > 0


def test_focus_is_where_the_cameras_look():
    np.testing.assert_allclose(focus_point(circle_poses(7)), CENTER, atol=1e-9)
    parallel = np.repeat(forward_poses(2)[:1], 4, axis=0)
    parallel[:, 0, 3] = np.arange(4)
    assert np.isfinite(focus_point(parallel)).all()
    placed = transform_from_poses(circle_poses(7), asked(center="focus"))
    np.testing.assert_allclose(placed.apply(CENTER), 0.0, atol=1e-9)


def test_points_give_centre_and_scale():
    poses = circle_poses(6)
    points = CENTER + np.random.default_rng(0).uniform(-40, 40, (101, 3))
    transform = transform_from_poses(poses, asked(center="points", auto_scale=True), points)
    placed = transform.apply(points)
    np.testing.assert_allclose(np.median(placed, axis=0), 0.0, atol=1e-9)
    assert np.median(np.abs(placed).max(axis=-1)) == pytest.approx(1.0)
    assert np.abs(transform.apply_to_poses(poses)[:, :, 3]).max() < 1.0
    with pytest.raises(SceneError, match="format has none"):
        transform_from_poses(poses, asked(center="points"))


def test_a_lone_camera_has_a_scale():
    transform = transform_from_poses(circle_poses(1), FROM_CAMERAS)
    assert transform.scale == 1.0
    np.testing.assert_allclose(transform.apply(circle_poses(1)[0, :, 3]), 0.0, atol=1e-12)


def test_what_is_asked_for_goes_before_the_default():
    default = Placement(orientation="up", center="poses", auto_scale=True, scene_scale=1.5)
    assert Placement().or_else(default).box() == (-1.5,) * 3 + (1.5,) * 3
    mine = Placement(center="none", aabb=(0, 0, 0, 1, 2, 3)).or_else(default)
    assert (mine.orientation, mine.center, mine.auto_scale) == ("up", "none", True)
    assert mine.box() == (0.0, 0.0, 0.0, 1.0, 2.0, 3.0)
    assert Placement(scene_scale=2.0).or_else(mine).box() == (-2.0,) * 3 + (2.0,) * 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"orientation": "down"}, "orientation is 'down'"),
        ({"center": "middle"}, "center is 'middle'"),
        ({"scene_scale": 0.0}, "scene_scale is 0.0"),
        ({"scene_scale": math.nan}, "scene_scale is nan"),
        ({"aabb": (0, 0, 0, 1, 1, 0)}, "aabb is"),
        ({"aabb": (0, 0, 0, 1)}, "aabb is"),
        ({"aabb": (0, 0, 0, 1, 1, math.inf)}, "aabb is"),
        ({"aabb": (0, 0, 0, 1, 1, 1), "scene_scale": 1.0}, "both give the scene box"),
    ],
)
def test_wrong_values_are_named(values, words):
    with pytest.raises(SceneError, match=words):
        Placement(**values)


def test_after_an_applied_transform():
    inner = np.concatenate([np.diag([1.0, -1.0, -1.0]), [[1.0], [2.0], [3.0]]], axis=1)
    transform = SceneTransform(np.eye(4)[:3], scale=0.5).after(inner)
    np.testing.assert_allclose(transform.apply(np.array([1.0, 1.0, 1.0])), [1.0, 0.5, 1.0])
