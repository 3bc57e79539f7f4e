"""Pages and a model: each has its camera and size; nobody holds anybody up."""

import time
import weakref

import numpy as np
import pytest
from web_pages import EYE, TARGET, page, push, rested, until

from taichi_pynerf.viewer import viewer as viewer_module
from taichi_pynerf.viewer.settings import Mode

pytest.importorskip("viser", reason="viser is not installed")


def test_a_page_gets_coarse_jpegs_while_it_moves_and_a_full_png_at_rest(stage, monkeypatch):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, rested(one), "the full picture")
        viewer = stage.clients[0].viewer
        until(stage, lambda: viewer.at_rest, "the finest picture")
        time.sleep(0.3)
        want = viewer.canvas.image((64, 48), viewer.settings.background)
        until(stage, lambda: np.array_equal(one.picture(), want), "the last picture")
        assert one.picture().std() > 20  # the ball, not a blank
        before = len(one.pictures)
        monkeypatch.setattr(viewer_module, "MOVING_SECONDS", 1e3)  # however slow this machine is
        for i in range(8):
            one.look((0.3 * i + 0.3, -2.2, 0.4), TARGET)
            until(stage, lambda: len(one.pictures) > before + i, "a moving picture")  # noqa: B023
        assert {kind for _, kind, _ in one.pictures[before:]} == {"jpeg"}
        monkeypatch.undo()
        until(stage, rested(one), "the full picture")
        assert not np.array_equal(one.picture(), want)
        count = len(one.pictures)
        for _ in range(30):
            stage.round(stage.server, 0.02)
            time.sleep(0.01)
        assert len(one.pictures) <= count + 3  # nothing is sent twice


def test_the_camera_is_the_browsers(stage):
    with page(stage) as one:
        one.look((1.0, -2.0, 0.5), (0.1, 0.0, 0.0), fov=0.7)
        until(stage, rested(one), "a picture")
        camera = stage.clients[0].viewer.camera
        assert camera.position == pytest.approx([1.0, -2.0, 0.5], abs=1e-6)
        assert camera.target == pytest.approx([0.1, 0.0, 0.0], abs=1e-6)
        assert camera.fov_y == pytest.approx(0.7)
        one.look((1.0, -2.0, 0.5 + 1e-7), (0.1, 0.0, 0.0), fov=0.7)  # rounding is no move
        for _ in range(5):
            stage.round(stage.server, 0.02)
            time.sleep(0.01)
        assert stage.clients[0].viewer.camera is camera


def test_what_was_drawn_for_a_page_goes_with_it(stage):
    with page(stage, (64, 48)) as stays:
        with page(stage, (40, 60)) as leaves:
            stays.look(EYE, TARGET)
            leaves.look(EYE, TARGET)
            until(stage, lambda: len(stage.clients) == 2 and stage.at_rest, "both pictures")
            client = stage.clients[max(stage.clients)]
            drawn = [weakref.ref(x) for x in (client, client.viewer, client.viewer.canvas)]
            del client
        until(stage, lambda: len(stage.clients) == 1, "the departure")
        assert [x() for x in drawn] == [None] * 3
        stays.look((0.5, -2.2, 0.4), TARGET)
        until(stage, rested(stays), "another picture of the page that stays")


def test_two_pages_have_their_own_camera_size_and_mode(stage):
    with page(stage, (64, 48)) as one, page(stage, (40, 60)) as two:
        one.look(EYE, TARGET)
        two.look((2.2, 0.0, 0.4), TARGET)
        until(stage, lambda: len(stage.clients) == 2 and stage.at_rest, "both finest pictures")
        until(stage, rested(one, two), "both pictures")
        for _ in range(4):
            stage.round(stage.server, 0.02)
            time.sleep(0.05)
        assert one.picture().shape == (48, 64, 3)
        assert two.picture().shape == (60, 40, 3)
        before, old = one.picture(), two.picture()
        push(stage, two, "mode", Mode.DEPTH.value)
        until(stage, lambda: stage.clients[1].viewer.settings.mode is Mode.DEPTH, "the mode")
        assert stage.clients[0].viewer.settings.mode is Mode.COLOUR
        until(stage, lambda: not np.array_equal(two.picture(), old), "the depth map")
        assert np.array_equal(one.picture(), before)


def test_one_that_vanishes_and_one_that_does_not_read_hold_nobody_up(stage):
    with page(stage) as one, page(stage, (256, 192), reading=False) as stuck:
        gone = page(stage)
        for client in (one, stuck, gone):
            client.look(EYE, TARGET)
        until(stage, lambda: len(stage.clients) == 3, "three pages")
        gone.vanish()
        until(stage, lambda: len(stage.clients) == 2, "the parting", seconds=40)
        for i in range(12):
            count = len(one.pictures)
            stuck.look((0.2 * i + 0.2, -2.2, 0.4), TARGET)
            one.look((0.2 * i + 0.2, -2.2, 0.4), TARGET)
            until(stage, lambda: len(one.pictures) > count, "a picture")  # noqa: B023


def test_a_slow_browsers_smaller_canvas_needs_no_new_picture(stage):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, rested(one), "a picture")
        viewer = stage.clients[0].viewer
        one.look(EYE, TARGET, size=(48, 36))
        for _ in range(5):
            stage.round(stage.server, 0.02)
            time.sleep(0.01)
        assert viewer.layout.picture_size == (64, 48)
        one.look(EYE, TARGET, size=(30, 22))
        until(stage, lambda: viewer.layout.picture_size == (30, 22), "the new size")
