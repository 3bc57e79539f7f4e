"""The page in a real browser: headless Chromium, driven by Selenium.

Skipped where one of the parts is missing; `.ci/run` installs them where it may.
"""

import contextlib
import importlib
import io
import shutil
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image
from tiny import ball_scene, tiny_config
from web_pages import thread_of

from taichi_pynerf.data.datasets import MultiScaleDataset
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.viewer.settings import Mode
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.audience import Audience
from taichi_pynerf.viewer.web.server import WebServer

pytest.importorskip("viser", reason="viser is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")
if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("chromium or chromedriver is not installed", allow_module_level=True)
webdriver = importlib.import_module("selenium.webdriver")
exceptions = importlib.import_module("selenium.common.exceptions")
actions = importlib.import_module("selenium.webdriver.common.action_chains")

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-background-networking", "--no-first-run",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--window-size=900,660",
)  # fmt: skip
SECONDS = 120  # a machine may be busy with other things


class Browser:
    """A page of Chromium with a profile of its own."""

    def __init__(self, link, profile):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.get(link)

    def close(self):
        self.driver.quit()

    def crash(self):
        """End the browser at once."""
        with contextlib.suppress(exceptions.WebDriverException):  # it does not answer any more
            self.driver.execute_cdp_cmd("Browser.crash", {})
        self.close()

    @property
    def canvas(self):
        return self.driver.find_element("css selector", "canvas")

    def close_notices(self):
        """Close the notice that WebGL is drawn by software, which covers a part of the picture."""
        for button in self.driver.find_elements("css selector", "[class*=Notification] button"):
            button.click()

    def pixels(self):
        """uint8 [H, W, 3]: the middle of the canvas as it stands on the screen."""
        image = Image.open(io.BytesIO(self.canvas.screenshot_as_png)).convert("RGB")
        width, height = image.size
        return np.array(image)[height // 4 : -height // 4, width // 4 : -width // 4]

    def drag(self, dx, dy):
        chain = actions.ActionChains(self.driver, duration=100)
        chain.move_to_element(self.canvas).click_and_hold().move_by_offset(dx, dy).release()
        chain.perform()

    def choose(self, label, option):
        """Choose an option of a dropdown."""
        self.driver.find_element("xpath", f"//label[text()='{label}']/following::input[1]").click()
        found = f"//*[@role='option'][normalize-space()='{option}']"
        wait(lambda: self.driver.find_elements("xpath", found), option)[0].click()

    def errors(self):
        """What the console calls an error."""
        log = self.driver.get_log("browser")
        return [line["message"] for line in log if line["level"] == "SEVERE"]


def wait(found, what):
    end = time.monotonic() + SECONDS
    while not (result := found()):
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.05)
    return result


@pytest.fixture(scope="module")
def model():
    config = tiny_config(max_steps=80, seed=3, render_step=0.5)
    dataset = MultiScaleDataset.from_scene(ball_scene(), scales=[1, 2])
    trainer = MultiScaleTrainer(PyNeRF(config), config, dataset, progress=False)
    trainer.train()
    return trainer.model, dataset


@pytest.fixture
def audience(model, tmp_path):
    """An audience; this thread has Taichi, so the browser is driven by another."""
    audience = Audience(partial(Viewer, *model, tmp_path), WebServer("a title", port=0))
    yield audience
    audience.server.close()


def play(audience, script):
    """Draw while `script()` drives browsers; its failure is this test's."""
    hands, failed = thread_of(script)
    while hands.is_alive():
        if not audience.round(audience.server, 0.1):
            time.sleep(0.02)
    if failed:
        raise failed[0]


def settled(audience, *numbers):
    """Whether these clients' pictures are complete and their last ones sent."""
    clients = [audience.clients.get(number) for number in numbers]
    return all(c is not None and c.viewer.at_rest and c._sent_as == "png" for c in clients)


def still(browser, audience, number):
    """The pixels of a page at rest."""
    wait(lambda: settled(audience, number), "the full picture")
    last = browser.pixels()
    for _ in range(200):
        time.sleep(0.25)
        now = browser.pixels()
        if settled(audience, number) and np.array_equal(now, last) and now.std() > 5:
            return now
        last = now
    raise AssertionError("the page does not come to rest")


def differ(one, two):
    return float(np.abs(one.astype(int) - two).mean())


def test_two_pages_drag_change_the_mode_and_load_anew(audience, tmp_path):
    link = audience.server.link

    def script():
        one = Browser(link, tmp_path / "one")
        try:
            wait(lambda: settled(audience, 0), "the full picture")
            viewer = audience.clients[0].viewer
            one.close_notices()
            first = still(one, audience, 0)
            assert "a title" in one.driver.find_element("tag name", "body").text

            # What is on the screen is what was drawn.
            size = viewer.layout.picture_size
            drawn = viewer.canvas.image(size, viewer.settings.background)
            height, width = drawn.shape[:2]
            middle = drawn[height // 4 : -height // 4, width // 4 : -width // 4]
            shown = Image.fromarray(first).resize((middle.shape[1], middle.shape[0]))
            assert differ(np.array(shown), middle) < 6

            before = viewer.camera
            one.drag(90, 0)
            wait(lambda: viewer.camera is not before, "the move")
            dragged = still(one, audience, 0)
            assert differ(first, dragged) > 1

            one.choose("mode", Mode.DEPTH.value)
            wait(lambda: viewer.settings.mode is Mode.DEPTH, "the mode")
            depth = still(one, audience, 0)
            assert differ(dragged, depth) > 5

            two = Browser(link, tmp_path / "two")
            try:
                other = still(two, audience, 1)
                assert differ(other, depth) > 5  # its own mode and camera
                assert np.array_equal(still(one, audience, 0), depth)
                assert two.errors() == []
            finally:
                two.crash()
            wait(lambda: 1 not in audience.clients, "the parting")

            before = viewer.camera
            one.drag(-90, 0)
            wait(lambda: viewer.camera is not before, "the move")
            assert differ(still(one, audience, 0), depth) > 1
            one.driver.refresh()
            wait(lambda: 2 in audience.clients, "the page again")
            wait(lambda: settled(audience, 2), "the full picture")
            one.close_notices()
            again = still(one, audience, 2)
            assert differ(again, first) < 2  # a new page begins at the beginning
            assert one.errors() == []
        finally:
            one.close()

    play(audience, script)


def test_a_page_with_a_token_opens_by_its_link_alone(model, tmp_path):
    server = WebServer("title", host="0.0.0.0", port=0)
    audience = Audience(partial(Viewer, *model, tmp_path), server)
    here = f"http://127.0.0.1:{server.port}/"

    def script():
        browser = Browser(here, tmp_path / "profile")
        try:
            assert "open the link that the program printed" in browser.driver.page_source
            browser.driver.get(f"{here}{server.gate.token}/")
            still(browser, audience, 0)
            assert [e for e in browser.errors() if "403" not in e] == []
        finally:
            browser.close()

    try:
        play(audience, script)
    finally:
        server.close()
