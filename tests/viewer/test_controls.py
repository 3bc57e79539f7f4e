"""Keys and mouse: what they do to the camera, and which actions they ask for."""

import re
from pathlib import Path

import numpy as np
import pytest

from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.controls import ACTIONS, Controls, InputFrame, help_lines
from taichi_pynerf.viewer.layout import PANEL_WIDTH, Layout
from taichi_pynerf.viewer.viewer import Viewer

SIZE = (1112, 480)
LAYOUT = Layout(*SIZE)
MIDDLE = (556.0, 240.0)


@pytest.fixture
def camera():
    return ViewCamera.looking_at((0, -4, 1), (0, 0, 0), (0, 0, 1), 0.7)


def frame(pressed=(), held=(), cursor=MIDDLE, seconds=0.1):
    return InputFrame(tuple(pressed), frozenset(held), cursor, SIZE, seconds)


def dragged(camera, *held, by=(40.0, 0.0), start=MIDDLE, layout=LAYOUT):
    controls = Controls()
    camera, _ = controls.update(frame(held[:1], held, start), camera, layout)
    end = (start[0] + by[0], start[1] + by[1])
    camera, _ = controls.update(frame((), held, end), camera, layout)
    return camera


def test_a_left_drag_turns_the_thing_under_the_hand(camera):
    moved = dragged(camera, "LMB", by=(40.0, 0.0))
    np.testing.assert_allclose(moved.target, camera.target, atol=1e-9)
    assert moved.position[0] < -0.1  # the scene turns right: the camera goes left
    assert dragged(camera, "LMB", by=(0.0, 40.0)).position[2] > 1.1


@pytest.mark.parametrize("held", [("RMB",), ("LMB", "Shift")])
def test_a_pan_keeps_what_is_under_the_hand(camera, held):
    moved = dragged(camera, *held, by=(48.0, -24.0))
    point = np.stack([camera.target, camera.target + 1e-4])[None]
    before, after = (view.project_segments(point, 640, 480)[0, 0] for view in (camera, moved))
    np.testing.assert_allclose(after - before, (48.0, -24.0), atol=0.1)


def test_the_other_drags(camera):
    assert dragged(camera, "MMB", by=(0.0, -40.0)).distance < camera.distance
    looked = dragged(camera, "LMB", "Control")
    np.testing.assert_array_equal(looked.position, camera.position)
    assert not np.allclose(looked.rotation, camera.rotation)


@pytest.mark.parametrize("place", [(PANEL_WIDTH - 2.0, 240.0), (1111.0, 5.0)])
def test_a_drag_on_a_panel_is_the_panels(camera, place):
    assert dragged(camera, "LMB", start=place) is camera
    hidden = Layout(*SIZE, panels=False)
    assert dragged(camera, "LMB", start=place, layout=hidden) is not camera


def test_a_drag_on_the_help_is_the_helps(camera):
    assert dragged(camera, "LMB", layout=Layout(*SIZE, help=True)) is camera


def test_a_drag_that_moves_a_widget_is_taken_back(camera):
    controls = Controls()
    controls.update(frame(["LMB"], ["LMB"]), camera, LAYOUT)
    moved, _ = controls.update(frame((), ["LMB"], (600.0, 240.0)), camera, LAYOUT)
    assert moved is not camera
    assert controls.cancel_drag(moved) is camera
    assert not controls.dragging
    again, _ = controls.update(frame((), ["LMB"], (700.0, 240.0)), camera, LAYOUT)
    assert again is camera  # until the button is pressed anew


def test_a_drag_ends_with_its_button(camera):
    controls = Controls()
    controls.update(frame(["LMB"], ["LMB"]), camera, LAYOUT)
    moved, _ = controls.update(frame((), (), (900.0, 240.0)), camera, LAYOUT)
    assert moved is camera


@pytest.mark.parametrize(
    ("key", "axis", "sign"),
    [("d", 0, 1), ("a", 0, -1), ("e", 1, 1), ("q", 1, -1), ("s", 2, 1), ("w", 2, -1)],
)
def test_keys_fly_along_the_axes(camera, key, axis, sign):
    moved, _ = Controls().update(frame((), [key]), camera, LAYOUT)
    step = camera.rotation.T @ (moved.position - camera.position)
    assert step[axis] * sign > 0.05
    assert np.abs(np.delete(step, axis)).max() < 1e-9
    tapped, _ = Controls().update(frame([key]), camera, LAYOUT)
    assert 0 < (camera.rotation.T @ (tapped.position - camera.position))[axis] * sign < step[
        axis
    ] * sign  # fmt: skip


def test_a_slow_frame_makes_no_leap(camera):
    slow, _ = Controls().update(frame((), ["w"], seconds=60.0), camera, LAYOUT)
    assert np.linalg.norm(slow.position - camera.position) < 0.2 * camera.distance


def test_up_and_down_dolly(camera):
    nearer, _ = Controls().update(frame((), ["Up"]), camera, LAYOUT)
    farther, _ = Controls().update(frame((), ["Down"]), camera, LAYOUT)
    assert nearer.distance < camera.distance < farther.distance


def test_every_key_has_an_action_the_viewer_knows(camera):
    known = {"frusta", "box", "drawing", "panels", "help"}
    for key, (action, _, _) in ACTIONS.items():
        _, actions = Controls().update(frame([key]), camera, LAYOUT)
        assert actions == [action]
        assert action in known or re.fullmatch(r"view_\d", action) or hasattr(Viewer, f"_{action}")


def test_the_help_and_the_guide_name_every_control():
    guide = Path(__file__).parents[2] / "docs" / "viewer.md"
    text = guide.read_text(encoding="utf-8")
    assert [keys for keys, _ in help_lines() if f"| {keys} |" not in text] == []
    for keys, says in help_lines():
        assert (keys + says).isascii()  # all that GGUI's font has


# ---- layout --------------------------------------------------------------------------------


def test_the_picture_is_what_the_panels_leave():
    assert Layout.window_size(640, 480) == SIZE
    assert LAYOUT.picture_size == (640, 480)
    assert Layout(*SIZE, panels=False).picture_size == SIZE
    assert Layout(400, 300).picture_size == (400, 300)  # too narrow for panels
    assert Layout(0, 0).picture_size == (1, 1)
