"""The page's camera turns as the viewer's does, however a view was rolled."""

import math

import numpy as np
import pytest
from browser import open_browser

from taichi_pynerf.export.web.files import page_file
from taichi_pynerf.geometry.cameras import look_at
from taichi_pynerf.viewer.camera import ViewCamera

UP = (0.0, 0.6, 0.8)
FOCUS = (0.2, 0.1, -0.3)


@pytest.fixture(scope="module")
def browser():
    with open_browser() as driver:
        yield driver


def rolled(roll):
    """[3, 4] pose that looks at the focus from a side of it, rolled by degrees."""
    pose = look_at(np.add(FOCUS, (3.0, -2.0, 1.5)).tolist(), FOCUS, UP).double().numpy()
    c, s = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    return np.column_stack([pose[:, :3] @ [[c, -s, 0], [s, c, 0], [0, 0, 1]], pose[:, 3]])


def after(browser, pose, *turns, up=UP):
    """[3, 4] poses of the page's camera and of the viewer's after the same turns."""
    script = """
        const [view, scene, turns] = arguments;
        let camera = Camera.ofView(view, scene);
        for (const turn of turns) camera = camera.orbit(...turn);
        return [camera.right, camera.up, camera.backward, camera.eye];
    """
    view = {"c2w": pose.reshape(-1).tolist(), "angle": 0.7}
    scene = {"focus": FOCUS, "size": 2.0, "up": up}
    page = browser.execute_script(page_file("camera.js") + script, view, scene, turns)
    distance = float(np.linalg.norm(pose[:, 3] - FOCUS))
    own = ViewCamera.from_pose(pose, distance, 0.7, up)
    for turn in turns:
        own = own.orbit(*turn)
    return np.transpose(page), own.c2w


@pytest.mark.parametrize("roll", [0, 90, 200, 270])
def test_turns_are_those_of_the_viewer(browser, roll):
    page, own = after(browser, rolled(roll), (0.4, 0.2), (0.0, -0.7), (-1.1, 0.0), (0.3, 0.2))
    np.testing.assert_allclose(page, own, atol=1e-5)


@pytest.mark.parametrize("roll", [0, 90, 200])
def test_a_turn_upwards_keeps_to_its_side(browser, roll):
    pose = rolled(roll)
    page, _ = after(browser, pose, (0.0, 0.3))
    before, now = pose[:, 2], page[:, 2]
    assert math.asin(now @ UP) == pytest.approx(math.asin(before @ UP) + 0.3, abs=1e-5)
    level = [v - (v @ UP) * np.array(UP) for v in (before, now)]
    level = [v / np.linalg.norm(v) for v in level]
    np.testing.assert_allclose(level[1], level[0], atol=1e-5)


@pytest.mark.parametrize("turn", [(0.0, -0.4), (0.5, 0.0)])
def test_from_straight_above(browser, turn):
    pose = np.column_stack([np.eye(3), np.add(FOCUS, (0.0, 0.0, 3.0))])
    page, own = after(browser, pose, turn, up=(0.0, 0.0, 1.0))
    np.testing.assert_allclose(page, own, atol=1e-5)
