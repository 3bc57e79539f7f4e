"""An exported page in a window as small as a phone's, under fingers."""

import pytest
from browser import awaited, open_browser
from tiny import roughen, tiny_model

from taichi_pynerf.export.web import PageOptions, write_web_scene

WIDTH, HEIGHT, RATIO = 390, 720, 2  # CSS pixels, and pixels in one


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    model = tiny_model(early_stop_eps=1e-3).eval()
    roughen(model.field)
    page = tmp_path_factory.mktemp("phone") / "scene.html"
    write_web_scene(model, page, PageOptions("a phone"))
    with open_browser() as driver:
        send = driver.execute_cdp_cmd
        send("Emulation.setDeviceMetricsOverride", {
            "width": WIDTH, "height": HEIGHT, "deviceScaleFactor": RATIO, "mobile": True,
        })  # fmt: skip
        send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 5})
        driver.get(f"{page.as_uri()}?device=webgl2")
        awaited(driver, "await pynerf.started")
        yield driver


def touch(driver, *paths, steps=5):
    """Fingers go from the first to the second place of their paths at once, and are lifted."""

    def send(kind, points):
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", [begin for begin, _ in paths])
    for step in range(1, steps + 1):
        share = step / steps
        send("touchMove", [
            [a + share * (b - a) for a, b in zip(begin, end, strict=True)] for begin, end in paths
        ])  # fmt: skip
    send("touchEnd", [])


def camera(driver):
    found = driver.execute_script(
        "const c = pynerf.app.camera; return [c.eye, c.target, c.distance]"
    )
    return tuple(found)


def test_the_panel_starts_folded_and_a_tap_unfolds_it(phone):
    assert panel(phone)["height"] < 0.1 * HEIGHT  # the words at its foot
    tap_fold(phone)
    unfolded = panel(phone)
    assert unfolded["height"] > 0.15 * HEIGHT
    assert unfolded["left"] >= 0
    assert unfolded["right"] <= WIDTH
    tap_fold(phone)
    assert panel(phone)["height"] < 0.1 * HEIGHT


def panel(driver):
    return driver.execute_script(
        "return document.getElementById('panel').getBoundingClientRect().toJSON()"
    )


def tap_fold(driver):
    place = driver.execute_script(
        "const r = document.getElementById('fold').getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2]"
    )
    touch(driver, (place, place), steps=1)


def test_the_canvas_has_the_pixels_of_the_screen(phone):
    awaited(phone, "await pynerf.app.renderer.exclusive(async () => 0)")
    canvas = phone.execute_script(
        "const c = pynerf.app.renderer.canvas; return [c.width, c.height]"
    )
    assert canvas == [RATIO * WIDTH, RATIO * HEIGHT]


def test_one_finger_turns(phone):
    eye, target, distance = camera(phone)
    touch(phone, ((200, 400), (280, 420)))
    turned = camera(phone)
    assert turned[0] != eye
    assert turned[1] == pytest.approx(target, abs=1e-6)
    assert turned[2] == distance


def test_two_fingers_zoom_and_move_aside(phone):
    _, target, distance = camera(phone)
    x, y = WIDTH / 2, HEIGHT / 2  # around the target
    touch(phone, ((x - 20, y), (x - 80, y)), ((x + 20, y), (x + 80, y)))
    assert camera(phone)[2] == pytest.approx(distance * 40 / 160, rel=0.01)
    # One finger is told of after the other: that does not show.
    assert camera(phone)[1] == pytest.approx(target, abs=1e-6)
    _, target, _ = camera(phone)
    touch(phone, ((180, 400), (240, 400)), ((220, 400), (280, 400)))
    assert camera(phone)[1] != pytest.approx(target, abs=0.1)
    # The fingers have moved the scene and not the page.
    assert phone.execute_script("return [scrollX, scrollY, visualViewport.scale]") == [0, 0, 1]


def test_what_two_fingers_hold_stays_between_them(phone):
    """It is a place beside the middle of the canvas, in the plane of the target."""
    held = place_under(phone, (100, 200))
    touch(phone, ((80, 200), (60, 330)), ((120, 200), (200, 330)))
    assert place_under(phone, (130, 330)) == pytest.approx(held, abs=1e-4)


def place_under(driver, point):
    """Where the target's plane shows at a place on the screen."""
    return driver.execute_script(
        """
        const {camera: c, renderer: {canvas}} = pynerf.app, [x, y] = arguments[0];
        const {left, top, width, height} = canvas.getBoundingClientRect();
        const pixel = 2 * Math.tan(c.angle / 2) / Math.min(width, height) * c.distance;
        const right = (x - left - width / 2) * pixel, up = (top + height / 2 - y) * pixel;
        return [0, 1, 2].map((i) => c.target[i] + right * c.right[i] + up * c.up[i]);
        """,
        list(point),
    )


def test_a_finger_left_of_two_does_not_turn(phone):
    before = camera(phone)
    # Chromium's driver lifts all fingers at once, so these are the page's own events.
    phone.execute_script(
        """
        const {canvas} = pynerf.app.renderer;
        canvas.setPointerCapture = () => {};  // it knows no such fingers
        for (const [type, pointerId, clientX, clientY] of arguments[0]) canvas.dispatchEvent(
          new PointerEvent(type, {pointerId, clientX, clientY, pointerType: "touch", buttons: 1}));
        """,
        [
            ("pointerdown", 1, 150, 400),
            ("pointermove", 1, 153, 402),  # it trembles until the second one is there
            ("pointerdown", 2, 250, 400),
            ("pointerup", 2, 250, 400),
            ("pointermove", 1, 220, 460),
            ("pointerup", 1, 220, 460),
        ],
    )
    assert camera(phone) == before
    touch(phone, ((200, 400), (280, 420)))  # and the next one does
    assert camera(phone)[0] != before[0]
