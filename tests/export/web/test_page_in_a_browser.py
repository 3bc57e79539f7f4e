"""Exported pages in headless Chromium: pictures, panel, and requests."""

import contextlib
import http.server
import json
import math
import re
import threading
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from browser import awaited, missing, open_browser
from scene_makers import make_cameras
from thinned import thin_out
from tiny import ball_scene, roughen, tiny_config, tiny_model

from benchmarks.web_page import measure_page
from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.export.web import PageOptions, write_web_scene
from taichi_pynerf.model.images import RenderOptions, render_image
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.rendering.camera_paths import farthest
from taichi_pynerf.runs.scene_source import Views
from taichi_pynerf.training.trainer import PyNeRFTrainer

NEAR, FAR = 0.05, 8.0
AABB = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
ROUNDED = 2 / 255  # mean difference of colours that rounding may make
IN_BYTES = 0.6 / 255  # that writing pictures in bytes makes, with room for the sums' order
LEVELS = 0.05  # mean difference of level maps


@pytest.fixture(scope="module")
def browser():
    with open_browser(size=(700, 800)) as driver:
        yield driver


def views_of(cameras, names=None):
    names = names or [f"view {i}" for i in range(len(cameras))]
    exposures = [float("nan")] * len(cameras)
    return Views(cameras, names, NEAR, FAR, AABB, torch.ones(3), SceneTransform(), exposures)


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    """A trained model, where its page is, and the model that the page shows."""
    scene = ball_scene(num_views=8, size=32)
    config = tiny_config(features_per_level=4, hidden_dim=32, max_steps=100)
    model = PyNeRF(config)
    data = PyNeRFDataset.from_scene(scene, white_background=True)
    PyNeRFTrainer(model, config, data, progress=False).train()
    folder = tmp_path_factory.mktemp("ball")
    views = views_of(scene.cameras)
    written = write_web_scene(model.eval(), folder / "ball.html", PageOptions("a ball"), views)
    return model, written, views


@pytest.fixture(params=["webgl2", "webgpu"])
def device(request):
    return request.param


def load(browser, path, device=None):
    address = path.as_uri() if hasattr(path, "as_uri") else path
    browser.get(address if device is None else f"{address}?device={device}")
    # Software draws slowly: a small canvas is enough.
    browser.execute_script(
        "document.getElementById('canvas').style = 'width: 60px; height: 50px; top: 200px'"
    )
    awaited(browser, "await pynerf.started")
    drawn_with = browser.execute_script("return pynerf.app.device.name")
    assert device in (None, drawn_with.lower())


def picture(browser, cameras, view, **options):
    """What the page says of a camera: arrays [H, W, …]."""
    camera = {name: float(getattr(cameras, name)[view]) for name in ("fx", "fy", "cx", "cy")}
    size = {name: int(getattr(cameras, name)[view]) for name in ("width", "height")}
    camera |= {**size, "c2w": cameras.c2w[view].tolist()}
    found = awaited(browser, "await pynerf.picture(given[0], given[1])", camera, options)
    shape = size["height"], size["width"]
    return {
        name: np.array(found[name]).reshape(*shape, *([3] if name == "rgb" else []))
        for name in ("rgb", "acc", "level", "depth")
    }


def compare(browser, model, cameras, view, level=None):
    """Mean differences of colour (of 1) and, where something is seen, of level and depth."""
    options = {} if level is None else {"level": level}
    page = picture(browser, cameras, view, **options)
    far = farthest(cameras.select([view]), AABB, FAR)
    own = render_image(model, cameras, view, NEAR, far, options=RenderOptions(level=level))
    own = {name: value.numpy() for name, value in own.items()}
    seen = own["acc"] > 0.5
    assert seen.any()
    assert own["rgb"].std() > 0.05  # there is something to compare
    return (
        np.abs(page["rgb"] / 255 - own["rgb"]).mean(),
        *(mean_of_most(np.abs(page[name] - own[name])[seen]) for name in ("level", "depth")),
    )


def mean_of_most(differences):
    """The mean of all but the greatest hundredth.

    Rounding decides into which of two cells a sample on their border falls, and the trained levels
    of one may cut off what those of the other let through.
    """
    most = len(differences) - math.ceil(len(differences) / 100)
    return np.sort(differences)[:most].mean()


def errors(browser):
    """What the console has of errors and warnings since the last call."""
    entries = [e for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
    # Reading a picture waits for it, which the driver remarks.
    return [e["message"] for e in entries if "stall due to ReadPixels" not in e["message"]]


def requests(browser):
    """Addresses that pages have asked for since the last call."""
    messages = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    return [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]


def test_four_views_are_those_of_the_quantised_model(browser, device, ball):
    _, written, _ = ball
    requests(browser)
    load(browser, written.path, device)
    cameras = make_cameras(5, width=96, height=96, focal=150.0).select([0, 1, 2, 4])
    for view in range(4):
        color, level, depth = compare(browser, written.quantised.model, cameras, view)
        assert color <= ROUNDED
        assert level <= LEVELS
        assert depth < 1e-2
    assert errors(browser) == []
    # Nothing but the file itself.
    assert requests(browser) == [f"{written.path.as_uri()}?device={device}"]
    assert not re.search(rb"https?://", written.path.read_bytes())


KINDS = {
    "two features": {},
    "six features, 16 bits": {"features_per_level": 6, "bits": 16},
    "one head": {"single_level": True},
    "nearest level": {"level_interpolation": "none"},
    "colours blended": {"output_interpolation": "color"},
    "deeper": {"num_layers": 4, "geo_feature_dim": 6},
    "uneven levels": {"base_resolution": 5, "scale_factor": 1.3, "cells_per_footprint": 2.0},
    "fine steps": {"render_step": 0.5, "occupancy_resolution": 40},
    "unbounded": {"unbounded": True, "num_cascades": 3, "cone_angle": 1 / 64},
    "proposals": {"sampler": "proposal", "proposal_resolution": 64},
    "proposals beside six features": {
        "sampler": "proposal",
        "proposal_resolution": 64,
        "features_per_level": 6,
    },
    "proposals beside one feature": {
        "sampler": "proposal",
        "proposal_resolution": 64,
        "features_per_level": 1,
    },
    "unbounded proposals": {"sampler": "proposal", "proposal_resolution": 64, "unbounded": True},
    "more proposals": {"sampler": "proposal", "proposal_resolution": 64, "render_step": 0.4},
}


def load_kind(browser, folder, kind, cameras, device):
    """The model that a page of some kind shows, loaded."""
    settings = dict(KINDS[kind])
    bits = settings.pop("bits", 8)
    model = tiny_model(early_stop_eps=1e-3, **settings).eval()
    roughen(model.field)
    thin_out(model)
    views = views_of(cameras)
    written = write_web_scene(model, folder / "scene.html", PageOptions(kind, bits), views)
    load(browser, written.path, device)
    return written.quantised.model


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model(browser, device, tmp_path, kind):
    cameras = make_cameras(3, width=24, height=20, focal=30.0)
    model = load_kind(browser, tmp_path, kind, cameras, device)
    for view, level in ((0, None), (1, None), (2, 0.0)):
        color, levels, depth = compare(browser, model, cameras, view, level)
        assert color <= IN_BYTES
        assert levels <= 1e-3
        assert depth <= 1e-3
    assert errors(browser) == []


@pytest.mark.parametrize("kind", ["two features", "unbounded", "proposals", "unbounded proposals"])
def test_cameras_beyond_the_far_bound_of_the_views(browser, device, tmp_path, kind):
    cameras = make_cameras(3, width=24, height=20, focal=30.0)
    model = load_kind(browser, tmp_path, kind, cameras, device)
    away = replace(cameras, c2w=cameras.c2w.clone(), fx=5 * cameras.fx, fy=5 * cameras.fy)
    away.c2w[:, :, 3] *= 5
    assert (away.c2w[:, :, 3].norm(dim=-1) > 2 * FAR).all()
    for view in range(2):
        color, levels, depth = compare(browser, model, away, view)
        assert color <= IN_BYTES
        assert levels <= 1e-3
        assert depth <= 5e-3  # a depth is kept in steps of 0.004 there
    assert errors(browser) == []


def canvas(browser):
    return browser.execute_script(
        "pynerf.app.device.present(); return document.getElementById('canvas').toDataURL()"
    )


def at_rest(browser):
    """The canvas when nothing is left to draw."""
    awaited(
        browser,
        """await (async () => {
          while (!pynerf.app.renderer.complete) await pause(20);
        })()""",
    )
    return canvas(browser)


def test_the_panel_mouse_and_keys_change_the_picture(browser, device, ball):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    _, written, views = ball
    load(browser, written.path, device)
    surface, body = (browser.find_element(By.CSS_SELECTOR, s) for s in ("#canvas", "body"))
    seen = [at_rest(browser)]
    Select(browser.find_element(By.ID, "mode")).select_by_value("level")
    seen.append(at_rest(browser))
    body.send_keys("m")  # depth
    seen.append(at_rest(browser))
    body.send_keys("m")
    assert at_rest(browser) == seen[0]
    ActionChains(browser).drag_and_drop_by_offset(surface, 60, 20).perform()
    seen.append(at_rest(browser))
    ActionChains(browser).scroll_from_origin(ScrollOrigin.from_element(surface), 0, -200).perform()
    seen.append(at_rest(browser))
    body.send_keys("l")
    browser.execute_script(
        "const e = document.getElementById('level');"
        "e.value = 0; e.dispatchEvent(new Event('input'))"
    )
    seen.append(at_rest(browser))
    body.send_keys("l")
    for key in ("r", "e", "\ue014", "+"):  # back, fly up, next view, closer
        body.send_keys(key)
        seen.append(at_rest(browser))
    assert seen[6] == seen[0]
    assert len(set(seen)) == len(seen) - 1
    names = [option.text for option in Select(browser.find_element(By.ID, "view")).options]
    assert names == views.names
    assert errors(browser) == []


def test_a_page_without_its_finest_levels_says_so(browser, device, ball, tmp_path):
    model, whole, views = ball
    said = []
    limit = 0.9 * whole.num_bytes / 1e6
    options = PageOptions("coarse", max_megabytes=limit)
    written = write_web_scene(model, tmp_path / "coarse.html", options, views, said.append)
    assert written.levels_left_out > 0
    assert written.path.stat().st_size == written.num_bytes <= limit * 1e6
    assert "finest" in said[0]
    load(browser, written.path, device)
    cameras = make_cameras(3, width=24, height=20, focal=30.0)
    color, level, _ = compare(browser, written.quantised.model, cameras, 1)
    assert color <= ROUNDED
    assert level <= LEVELS
    at_rest(browser)
    status = browser.execute_script("return document.getElementById('status').textContent")
    assert f"the {written.levels_left_out} finest of 4 levels were left out" in status


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_the_benchmark_has_a_row_of_figures_for_each_view(ball):
    _, written, _ = ball
    rows = measure_page(written.path, size=16, num_views=2, repeats=2)
    assert [row["view"] for row in rows] == [0, 4]  # of 8
    for row in rows:
        assert all(value > 0 for name, value in row.items() if name != "view")
        assert row["least s"] <= row["median s"]
        assert row["colours a pixel"] < row["samples a pixel"]
        assert row["multiplications a pixel"] > row["samples a pixel"]
    assert rows[0]["samples a pixel"] != rows[1]["samples a pixel"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        pass


def test_a_folder_is_loaded_level_by_level(browser, device, ball, tmp_path):
    model, _, views = ball
    written = write_web_scene(model, tmp_path / "web", PageOptions("x", folder=True), views)
    assert written.path == tmp_path / "web" / "index.html"
    assert written.num_bytes == sum(p.stat().st_size for p in (tmp_path / "web").iterdir())
    Quiet.asked = []
    handler = partial(Quiet, directory=str(written.path.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        load(browser, f"http://127.0.0.1:{server.server_port}/index.html", device)
        cameras = make_cameras(3, width=24, height=20, focal=30.0)
        color, level, _ = compare(browser, written.quantised.model, cameras, 1)
        server.shutdown()
    assert color <= ROUNDED
    assert level <= LEVELS
    files = [f"/{name}.bin" for name in ("level_0", "level_1", "level_2", "ranges", "level_3")]
    assert Quiet.asked[0] == f"/index.html?device={device}"
    assert Quiet.asked[-5:] == files
    assert errors(browser) == []
    # From a disk a browser loads no files: the page says so.
    assert "http.server" in words_of(browser, written.path.as_uri())


WORDS = "return document.getElementById('words').textContent"


@contextlib.contextmanager
def before_each_page(browser, script):
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def words_of(browser, address):
    """What a page says that cannot show its scene."""
    browser.get(address)
    awaited(browser, "await pynerf.started.catch(() => 0)")
    said = browser.execute_script(WORDS)
    browser.get_log("browser")
    return said


NO_ADAPTER = "navigator.gpu.requestAdapter = async () => null;"
NO_GPU = "Object.defineProperty(Navigator.prototype, 'gpu', {get: () => undefined});"
NO_WEBGL = "HTMLCanvasElement.prototype.getContext = () => null;"


@pytest.mark.parametrize(
    ("lacking", "name"), [("", "WebGPU"), (NO_ADAPTER, "WebGL2"), (NO_GPU, "WebGL2")]
)
def test_the_newest_device_that_there_is_draws_and_is_named(browser, ball, lacking, name):
    _, written, _ = ball
    with before_each_page(browser, lacking):
        load(browser, written.path)
        at_rest(browser)
    assert browser.execute_script("return pynerf.app.device.name") == name
    status = browser.execute_script("return document.getElementById('status').textContent")
    assert status.endswith(f" · {name}")
    assert errors(browser) == []


def test_words_of_what_a_browser_lacks_or_is_asked_for(browser, ball):
    _, written, _ = ball
    address = written.path.as_uri()
    with before_each_page(browser, NO_GPU + NO_WEBGL):
        assert "WebGPU or WebGL2" in words_of(browser, address)
        assert "?device=webgpu" in words_of(browser, f"{address}?device=webgpu")
    assert "give webgpu or webgl2" in words_of(browser, f"{address}?device=metal")


def test_words_of_a_page_that_is_cut_short(browser, ball, tmp_path):
    _, written, _ = ball
    text = written.path.read_text()
    short = tmp_path / "short.html"
    short.write_text(text[: text.index('<script type="text/plain" id="chunk-level_2"')])
    assert "level_2" in words_of(browser, short.as_uri())
