"""Pages and a model: each has its camera and size; nobody holds anybody up.

The pages are `benchmarks.page_client`'s, which speak the protocol without a browser.
"""

import importlib
import io
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch
from tiny import ball_scene, tiny_config, training_tensors

from taichi_pynerf.data.datasets import MultiScaleDataset
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.viewer import viewer as viewer_module
from taichi_pynerf.viewer.settings import Mode
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.audience import Audience
from taichi_pynerf.viewer.web.server import WebServer
from taichi_pynerf.viewer.web.training import WebTraining

pytest.importorskip("viser", reason="viser is not installed")
page_client = importlib.import_module("benchmarks.page_client")

EYE, TARGET = (0.0, -2.2, 0.4), (0.0, 0.0, 0.0)


def new_trainer(max_steps=40, output_dir=None):
    config = tiny_config(max_steps=max_steps, seed=3, render_step=0.5, cull_hidden=1e-3)
    dataset = MultiScaleDataset.from_scene(ball_scene(), scales=[1, 2])
    return MultiScaleTrainer(PyNeRF(config), config, dataset, progress=False, output_dir=output_dir)


@pytest.fixture(scope="module")
def trained():
    trainer = new_trainer(60)
    trainer.train()
    return trainer


@pytest.fixture
def stage(trained, tmp_path):
    """An audience, and a function that draws until something is so."""
    make = partial(Viewer, trained.model, trained.train_dataset, tmp_path)
    audience = Audience(make, WebServer("test", port=0))
    yield audience
    audience.server.close()


def until(audience, found, what, seconds=20.0):
    """Draw until `found()`."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"{what} did not come"
        if not audience.round(audience.server, 0.05):
            time.sleep(0.005)


def page(audience, size=(64, 48), **options):
    return page_client.PageClient(audience.server.link, size, **options)


def push(audience, page, label, value):
    """Use a widget, once it is there."""
    until(audience, lambda: label in page.widgets, label)
    page.set(label, value)


def rested(*pages):
    return lambda: all(p.pictures and p.pictures[-1][1] == "png" for p in pages)


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


RUBBISH = [
    b"", b"\x00\xff", "text", b"\x81\xa4type\xa4None",
    {"type": "ViewerCameraMessage"}, {"type": "GuiUpdateMessage", "uuid": 3, "updates": "x"},
    {"type": "GuiUpdateMessage", "uuid": "none", "updates": {}}, {"kind": 1}, [1, 2], None,
    {"type": "ShareUrlRequest"},
    {
        "type": "ViewerCameraMessage", "wxyz": ["a"] * 4, "position": EYE, "fov": "wide",
        "near": 0.1, "far": None, "image_height": "x", "image_width": 3, "look_at": "far",
        "up_direction": [],
    },
]  # fmt: skip


def test_rubbish_ends_no_one_elses_page(stage, capfd):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, rested(one), "a picture")
        for rubbish in RUBBISH:
            with page(stage) as bad:
                bad.look(EYE, TARGET)
                until(stage, lambda: len(stage.clients) >= 1, "pages")
                if isinstance(rubbish, bytes | str):
                    bad.send_raw(rubbish)
                else:
                    bad.send(rubbish)
                time.sleep(0.02)
                stage.round(stage.server, 0.02)
        count = len(one.pictures)
        one.look((1.0, -2.0, 0.4), TARGET)
        until(stage, lambda: len(one.pictures) > count, "a picture")
    said = capfd.readouterr()
    assert "Traceback" not in said.err + said.out
    assert "cannot be used" in said.err


@pytest.mark.parametrize("size", [(0, 0), (0, 48), (64, -1), (20000, 20000), (64, 20000)])
def test_a_size_that_cannot_be_is_refused_and_the_last_one_kept(stage, size):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, rested(one), "a picture")
        one.look((1.0, -2.0, 0.4), TARGET, size=size)
        viewer = stage.clients[0].viewer
        until(stage, lambda: "cannot be used" in viewer.message, "the refusal")
        assert viewer.layout.picture_size == (64, 48)
        one.look((1.0, -2.0, 0.4), TARGET)
        until(stage, lambda: viewer.camera.position[0] == pytest.approx(1.0), "the move")


NAN = float("nan")


@pytest.mark.parametrize(
    ("wxyz", "place", "target", "fov"),
    [
        ((0, 0, 0, 0), EYE, TARGET, 0.9),
        ((NAN, 0, 0, 1), EYE, TARGET, 0.9),
        ((1, 0, 0, 0), (NAN, 0, 0), TARGET, 0.9),
        ((1, 0, 0, 0), (1e30, 0, 0), TARGET, 0.9),
        ((1, 0, 0, 0), EYE, EYE, 0.9),
        ((1, 0, 0, 0), EYE, TARGET, NAN),
        ((1, 0, 0), EYE, TARGET, 0.9),
    ],
)
def test_a_camera_that_cannot_be_is_refused(stage, wxyz, place, target, fov):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, rested(one), "a picture")
        viewer = stage.clients[0].viewer
        camera = viewer.camera
        one.send_view(wxyz, place, target, (0, 0, 1), fov, (64, 48))
        until(stage, lambda: "cannot be used" in viewer.message, "the refusal")
        assert viewer.camera is camera


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


def test_a_picture_is_downloaded(stage):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, rested(one), "a picture")
        push(stage, one, "Download picture", True)
        until(stage, lambda: "picture.png" in one.files, "the file")
        assert one.files["picture.png"].startswith(b"\x89PNG")


def with_key_frames(stage, one):
    """Record a flight of 48 frames."""
    for x in (0.0, 0.5):
        one.look((x, -2.2, 0.4), TARGET)
        until(stage, lambda: stage.clients[0].viewer.camera.position[0] == pytest.approx(x), "it")  # noqa: B023
        push(stage, one, "Add key frame", True)
        count = len(stage.clients[0].viewer.key_frames)
        until(stage, lambda: len(stage.clients[0].viewer.key_frames) > count, "a key frame")  # noqa: B023
    return stage.clients[0].viewer


def test_a_flight_is_previewed_in_the_browser(stage):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, lambda: len(stage.clients) == 1, "the page")
        push(stage, one, "Play", True)
        viewer = stage.clients[0].viewer
        until(stage, lambda: "two key frames" in viewer.message, "a word")
        with_key_frames(stage, one)
        until(stage, lambda: "/flight" in one.nodes, "the line")
        push(stage, one, "preview", 0.5)
        until(stage, lambda: one.moved_to is not None, "the move")
        assert one.moved_to == pytest.approx([0.25, -2.2, 0.4], abs=0.05)
        push(stage, one, "Play", True)
        until(stage, lambda: one.moved_to[0] < 0.2, "the start of the flight")
        one.look((3.0, -2.2, 0.4), TARGET)  # an echo, or a hand that does not wait
        until(stage, lambda: not stage.clients[0].path.busy, "its end")
        assert viewer.camera.position == pytest.approx([0.5, -2.2, 0.4], abs=0.05)
        push(stage, one, "Write camera path", True)
        until(stage, (viewer.output_dir / "camera_path.json").exists, "the file")


def test_a_film_is_made_between_pictures_and_downloaded(stage):
    with page(stage) as one, page(stage) as two:
        one.look(EYE, TARGET)
        two.look(EYE, TARGET)
        until(stage, lambda: len(stage.clients) == 2, "pages")
        viewer = with_key_frames(stage, one)
        push(stage, one, "Render film", True)
        until(stage, lambda: stage.clients[0].path.busy, "the film's beginning")
        count = len(two.pictures)
        two.look((2.2, 0.0, 0.4), TARGET)
        until(stage, lambda: len(two.pictures) > count, "another's picture")
        until(stage, lambda: one.files, "the film", seconds=60)
        ((name, content),) = one.files.items()
        assert (viewer.output_dir / name).read_bytes() == content
        if name.endswith(".mp4"):
            av = pytest.importorskip("av")
            with av.open(io.BytesIO(content)) as film:
                frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
            assert len(frames) == 48
            assert frames[0].shape == (48, 64, 3)
            assert frames[0].std() > 20
        assert two.files == {}


def test_a_film_is_given_up_with_its_page_and_leaves_nothing(stage):
    with page(stage, (256, 192)) as one:
        one.look(EYE, TARGET)
        until(stage, lambda: len(stage.clients) == 1, "the page")
        viewer = with_key_frames(stage, one)
        push(stage, one, "film size", "1920 x 1080")
        push(stage, one, "Render film", True)
        until(stage, lambda: stage.clients[0].path.busy, "the film's beginning")
        before = set(viewer.output_dir.iterdir())
    until(stage, lambda: not stage.clients, "the parting")
    left = {path.name for path in viewer.output_dir.iterdir()}
    assert not any("film" in name for name in left), (before, left)


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


# ---- beside a training ------------------------------------------------------------------------


def watched(trainer, tmp_path):
    make = partial(Viewer, trainer.model, trainer.train_dataset, tmp_path, trainer.save)
    audience = Audience(make, WebServer("test", port=0))
    return WebTraining(audience, audience.server, trainer), audience


def test_a_training_watched_by_two_pages_gives_the_same_model_to_the_bit(tmp_path):
    plain = new_trainer()
    plain.train()
    trainer = new_trainer()
    live, audience = watched(trainer, tmp_path)
    audience.share.share = 0.2
    done = threading.Event()

    def look_on():
        with page(audience) as one, page(audience, (50, 40)) as two:
            modes = [mode.value for mode in Mode]
            step = 0
            while not done.wait(0.01):
                step += 1
                one.look((0.1 * (step % 30), -2.2, 0.4), TARGET)
                two.look((2.2, 0.1 * (step % 20), 0.4), TARGET)
                if "mode" in two.widgets and step % 10 == 0:
                    two.set("mode", modes[step // 10 % len(modes)])

    hands = threading.Thread(target=look_on)
    hands.start()
    try:
        until(audience, lambda: len(audience.clients) == 2, "both pages")
        trainer.train(on_step=live)
        drawn = sum(client.viewer.renderer.num_rays for client in audience.clients.values())
    finally:
        done.set()
        hands.join()
        audience.server.close()
    assert drawn > 1000
    want, got = training_tensors(plain), training_tensors(trainer)
    assert want.keys() == got.keys()
    assert [name for name in want if not torch.equal(want[name], got[name])] == []


def test_a_pause_lasts_until_it_is_ended_or_nobody_is_left(tmp_path):
    trainer = new_trainer(max_steps=10**6, output_dir=tmp_path)
    live, audience = watched(trainer, tmp_path)
    seen = {}

    def hands():
        with page(audience) as one:
            one.look(EYE, TARGET)
            one.set("pause", True)
            one.wait(lambda: audience.paused, "the pause")
            time.sleep(0.2)
            seen["paused"] = trainer.step
            time.sleep(0.2)
            seen["still"] = trainer.step
            one.set("pause", False)
            one.wait(lambda: trainer.step > seen["still"] + 2, "the going on")
            one.set("share", 0.8)
            one.wait(lambda: audience.share.share == 0.8, "the share")
            one.set("Save checkpoint", True)
            one.wait((tmp_path / "checkpoint.pth").exists, "the checkpoint")
            one.set("pause", True)
            one.wait(lambda: audience.paused, "the second pause")
            seen["left"] = trainer.step
        end = time.monotonic() + 20
        while trainer.step <= seen["left"] + 2 and time.monotonic() < end:
            time.sleep(0.01)
        seen["after"] = trainer.step
        trainer.request_stop()

    thread = threading.Thread(target=hands)
    thread.start()
    try:
        trainer.train(on_step=live)
    finally:
        thread.join()
        live.finish()
    assert seen["still"] == seen["paused"]
    assert seen["after"] > seen["left"] + 2
    assert not audience.server.open


def test_with_nobody_there_training_ends_by_itself(tmp_path, capsys):
    trainer = new_trainer(max_steps=30)
    live, audience = watched(trainer, tmp_path)
    audience.server._alone_since = float("-inf")  # the wait for a page that is loaded anew
    trainer.train(on_step=live)
    live.finish()
    assert not audience.server.open
    assert "close the page" in capsys.readouterr().out
