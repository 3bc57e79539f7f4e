"""The widgets of a page change its viewer."""

import copy
import dataclasses
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from web_pages import EYE, TARGET, page, push, rested, until

from taichi_pynerf.viewer.settings import Mode
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web import objects
from taichi_pynerf.viewer.web.audience import Audience
from taichi_pynerf.viewer.web.server import WebServer
from taichi_pynerf.viewer.web.widgets import LINE, Mirror, in_lines

pytest.importorskip("viser", reason="viser is not installed")


def test_a_long_path_goes_on_in_lines_that_fit():
    path = "/home/somebody/photographs/2026/castle/outputs/scene/renders/film/film.mp4"
    lines = in_lines(f"saved {path}").removeprefix("saved ").split("  \n")
    assert "".join(lines) == path
    assert max(map(len, lines)) <= LINE
    assert all(line.endswith("/") for line in lines[:-1])
    name = "x" * 100
    assert in_lines(name).replace("  \n", "") == name
    assert max(map(len, in_lines(name).split("  \n"))) == LINE
    assert in_lines("outputs/scene/film.mp4 is saved, and so on and on") == (
        "outputs/scene/film.mp4 is saved, and so on and on"
    )
    assert in_lines("") == ""


def test_settings_come_from_widgets_and_wrong_values_are_refused(stage):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, lambda: "draw" in one.widgets, "widgets")
        settings = stage.clients[0].viewer.settings
        for label, value, found in (
            ("level", 2.0, lambda: settings.fixed_level and settings.level == 2.0),
            ("exposure", 1.5, lambda: settings.exposure == 1.5),
            ("background", (0, 255, 0), lambda: settings.background == (0.0, 1.0, 0.0)),
            ("crop", True, lambda: settings.cropping and "/crop" in one.nodes),
            ("sides", (1.0, 0.5, 2.0), lambda: settings.crop.size == (1.0, 0.5, 2.0)),
            ("scene box", True, lambda: "/scene_box" in one.nodes),
            ("view, deg", 70, lambda: abs(stage.clients[0].viewer.camera.fov_y - 1.2217) < 1e-3),
            ("mode", "normals", lambda: settings.mode is Mode.NORMALS),
            ("draw", False, lambda: not settings.drawing),
        ):  # fmt: skip
            push(stage, one, label, value)
            until(stage, found, label)
        for label, value in (("exposure", 1e9), ("level", -3.0), ("sides", (0.0, 1.0, 1.0))):
            push(stage, one, label, value)
            until(stage, lambda: stage.clients[0].viewer.message, "a word")
        assert (settings.exposure, settings.level, settings.crop.size) == (
            1.5,
            2.0,
            (1.0, 0.5, 2.0),
        )


def test_training_cameras_are_shown_and_a_click_looks_from_there(stage):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, lambda: "training cameras" in one.widgets, "widgets")
        push(stage, one, "training cameras", True)
        viewer = stage.clients[0].viewer
        until(stage, lambda: len(one.nodes) >= len(viewer.views), "frustums")
        owner = one.nodes["/cameras/1"]["owner"]
        one.send(
            {
                "type": "SceneNodeClickMessage", "name": "/cameras/1", "instance_index": None,
                "ray_origin": [0, 0, 0], "ray_direction": [0, 0, 1], "screen_pos": [0, 0],
                "modifier": None, "owner": owner,
            }
        )  # fmt: skip
        until(stage, lambda: viewer.view == 1, "the training view")
        until(stage, lambda: one.moved_to is not None, "the browser's move")
        assert one.moved_to == pytest.approx(viewer.views.c2w[1, :, 3], abs=1e-5)
        push(stage, one, "training cameras", False)
        until(stage, lambda: not any(n.startswith("/cameras/") for n in one.nodes), "their end")


def test_sliders_show_what_other_input_has_changed(stage):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, lambda: "training view" in one.widgets, "widgets")
        viewer = stage.clients[0].viewer
        stage.clients[0].later("frustum", lambda: viewer.show_view(2))
        until(stage, lambda: one.shown("training view") == 2, "the view's number")

        push(stage, one, "view, deg", 70)
        until(stage, lambda: abs(viewer.camera.fov_y - np.radians(70)) < 1e-6, "the angle")
        push(stage, one, "First view", True)
        until(stage, lambda: one.shown("training view") == 0, "the first view")
        fov = viewer.views.camera(0).fov_y
        until(stage, lambda: one.shown("view, deg") == round(np.degrees(fov)), "the angle")
        until(stage, rested(one), "a picture")
        assert viewer.view == 0
        assert viewer.camera.fov_y == pytest.approx(fov, abs=1e-9)  # shown rounded, drawn as it is


@pytest.mark.parametrize("degrees", [3.0, 130.0])
def test_a_lens_beyond_the_sliders_range_ends_nothing(trained, tmp_path, degrees):
    dataset = copy.copy(trained.train_dataset)
    cameras = dataset.cameras
    focal = 0.5 * cameras.height / np.tan(np.radians(degrees) / 2)
    dataset.cameras = dataclasses.replace(cameras, fx=focal.float(), fy=focal.float())
    make = partial(Viewer, trained.model, dataset, tmp_path)
    stage = Audience(make, WebServer("test", port=0))
    try:
        with page(stage) as one:
            one.look(EYE, TARGET)
            until(stage, lambda: "view, deg" in one.widgets, "widgets")
            viewer = stage.clients[0].viewer
            stage.clients[0].later("frustum", lambda: viewer.show_view(2))
            limit = 5 if degrees < 5 else 120
            until(stage, lambda: one.shown("view, deg") == limit, "the angle")
            assert np.degrees(viewer.camera.fov_y) == pytest.approx(degrees, rel=1e-4)
    finally:
        stage.server.close()


def test_a_slider_is_not_sent_what_its_own_hand_set():
    viewer, slider = SimpleNamespace(view=0), SimpleNamespace(value=0)
    mirror = Mirror(slider, lambda: viewer.view)
    viewer.view, slider.value = 3, 4  # the hand is further already
    mirror.note()
    mirror.update()
    assert slider.value == 4
    viewer.view = None  # between the views
    mirror.update()
    assert slider.value == 4
    viewer.view = 1
    mirror.update()
    assert slider.value == 1


def test_frustums_of_large_photographs_come_one_after_the_other(stage, monkeypatch):
    monkeypatch.setattr(objects, "ADDING_SECONDS", 0.0)
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, lambda: "training cameras" in one.widgets, "widgets")
        client = stage.clients[0]
        client.objects.show_cameras(True)
        for count in range(1, len(client.viewer.views) + 1):
            assert not client.at_rest
            client.round(0.01)
            assert len(client.objects._frusta) == count
        assert client.objects.complete
        client.objects.show_cameras(True)
        client.round(0.01)
        client.objects.show_cameras(False)  # and the rest does not come any more
        client.round(0.01)
        assert client.objects.complete
        assert not client.objects._frusta


def test_a_picture_is_downloaded(stage):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, rested(one), "a picture")
        push(stage, one, "Download picture", True)
        until(stage, lambda: "picture.png" in one.files, "the file")
        assert one.files["picture.png"].startswith(b"\x89PNG")


def test_sparse_points_are_shown(trained, tmp_path):
    points = np.random.default_rng(0).normal(size=(500, 3))
    make = partial(Viewer, trained.model, trained.train_dataset, tmp_path)
    audience = Audience(make, WebServer("test", port=0), points)
    try:
        with page(audience) as one:
            one.look(EYE, TARGET)
            push(audience, one, "sparse points", True)
            until(audience, lambda: "/points" in one.nodes, "points")
            push(audience, one, "sparse points", False)
            until(audience, lambda: "/points" not in one.nodes, "their end")
    finally:
        audience.server.close()


@pytest.mark.parametrize(("size", "folded"), [((390, 844), True), ((800, 390), True),
                                              ((676, 640), False)])  # fmt: skip
def test_a_small_window_is_left_to_the_picture(stage, size, folded):
    with page(stage, size) as one:
        one.wait(lambda: "Fov" in one.start, "where to begin")
        fov = one.start["Fov"]["fov"]
        one.look(EYE, TARGET, fov=fov)
        until(stage, lambda: len(one.pictures) > 0 and "mode" in one.widgets, "a picture")
        viewer, (width, height) = stage.clients[0].viewer, size
        assert viewer.layout.picture_size == size
        assert one.folded == folded
        # As much is seen across a tall window as in height in a wide one.
        across = np.tan(viewer.camera.fov_y / 2) * min(width, height) / height
        assert across == pytest.approx(np.tan(fov / 2), rel=1e-4)
        assert viewer.camera.position == pytest.approx(EYE, abs=1e-6)
