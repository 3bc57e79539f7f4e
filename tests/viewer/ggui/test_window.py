"""The real window: on Xvfb with Mesa's llvmpipe, with mouse and keys that xdotool sends.

Skipped where one of these is missing; `.ci/run` installs them where it may.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scene_makers import write_blender_scene
from tiny import roughen, tiny_model

from benchmarks.viewer_soak import GREATEST_GROWTH, Soak
from taichi_pynerf.errors import DisplayError
from taichi_pynerf.runs.checkpoint import save_pyramid_model
from taichi_pynerf.viewer.ggui.display import require_display

APPS = Path(__file__).parents[3] / "apps"
MISSING = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING) or not sys.platform.startswith("linux"), reason=f"not here: {', '.join(MISSING)}"
)
TINY = {
    "num_levels": 3, "base_resolution": 4, "max_resolution": 16, "hash_table_size": 2048,
    "features_per_level": 2, "hidden_dim": 16, "occupancy_resolution": 16, "march_resolution": 32,
    "batch_size": 64, "samples_per_batch": 1024, "val_interval": 0,
}  # fmt: skip
# What a window manager sends when the close button is pressed; not every xdotool can.
CLOSE = """
import ctypes, sys
x11 = ctypes.CDLL("libX11.so.6")
x11.XOpenDisplay.restype = ctypes.c_void_p
x11.XInternAtom.restype = ctypes.c_ulong
screen = ctypes.c_void_p(x11.XOpenDisplay(None))
message = (ctypes.c_ulong * 24)(
    33, 0, 1, screen.value, int(sys.argv[1]), x11.XInternAtom(screen, b"WM_PROTOCOLS", 0), 32,
    x11.XInternAtom(screen, b"WM_DELETE_WINDOW", 0),
)
x11.XSendEvent(screen, ctypes.c_ulong(int(sys.argv[1])), 0, ctypes.c_long(0), message)
x11.XSync(screen, 0)
"""


@pytest.fixture(scope="module")
def display():
    """The environment of a virtual screen without a window manager."""
    reader, writer = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(writer),
            "-screen",
            "0",
            "1400x900x24",
            "-nolisten",
            "tcp",
            "-noreset",
        ],
        pass_fds=[writer],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader) as answer:
        number = answer.readline().strip()
    try:
        assert number, "Xvfb did not start"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DISPLAY", f":{number}")
            try:
                require_display()
            except DisplayError as error:
                pytest.skip(f"no window here: {error}")
            yield {**os.environ, "DISPLAY": f":{number}"}
    finally:
        server.terminate()
        server.wait(10)


class Hands:
    """Mouse and keys on the window of a process."""

    def __init__(self, process, environment, title):
        self.process, self.environment = process, environment
        for _ in range(1200):
            if process.poll() is not None:
                raise AssertionError(f"it ended: {process.communicate()}")
            found = self.xdotool("search", "--name", title, check=False).split()
            if found:
                self.window = found[-1]
                self.xdotool("windowfocus", "--sync", self.window)
                time.sleep(2)  # keys are lost while a window is only just there
                return
            time.sleep(0.1)
        raise AssertionError("no window came")

    def xdotool(self, *arguments, check=True):
        done = subprocess.run(
            ["xdotool", *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def key(self, key):
        self.xdotool("key", key)

    def drag(self, start, end):
        self.xdotool("mousemove", "--window", self.window, *start)
        time.sleep(0.5)
        self.xdotool("mousedown", 1)
        time.sleep(0.5)
        for step in (1, 2, 3):
            x, y = (int(a + step / 3 * (b - a)) for a, b in zip(start, end, strict=True))
            self.xdotool("mousemove", "--window", self.window, x, y)
            time.sleep(0.3)
        self.xdotool("mouseup", 1)

    def picture(self, folder):
        """Press F12, which saves the picture once it is finished, and wait for it."""

        def saved():
            return set(folder.glob("screenshot_*.png"))

        before = saved()
        for _ in range(3):  # a busy machine's window may still have been too young for the key
            self.key("F12")
            with contextlib.suppress(AssertionError):
                wait_for(lambda: saved() - before)
                break
        found = None
        while found != saved():  # those of keys before may come, too
            found = saved()
            time.sleep(1)
        assert found - before, "no picture"
        with Image.open(max(found)) as image:
            return np.array(image).astype(int)


def wait_for(condition, seconds=60):
    """What the condition says once it says something."""
    for _ in range(int(seconds / 0.1)):
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def start(environment, folder, app, *arguments):
    return subprocess.Popen(
        [sys.executable, str(APPS / app), *map(str, arguments)],
        env={**environment, "TAICHI_PYNERF_CACHE": str(folder)},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_training(environment, scene, folder):
    """A training with its window, which goes on until it is told to stop."""
    settings = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    return start(
        environment, folder, "train.py", "--gui", "--data_dir", scene, "--output_dir", folder,
        "--max_steps", 10**6, *settings,
    )  # fmt: skip


def last_step(run):
    log = run / "log.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def differ(a, b):
    """Share of the pixels that differ clearly."""
    return (np.abs(a - b).max(-1) > 12).mean()


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "noise"
    return write_blender_scene(folder, width=32, height=16, splits=("train", "val", "test"))


def test_a_training_is_watched_with_mouse_and_keys(display, scene, tmp_path):
    process = start_training(display, scene, tmp_path)
    run = tmp_path / "noise"
    try:
        hands = Hands(process, display, "taichi_pynerf: noise")
        hands.xdotool("windowsize", "--sync", hands.window, 792, 240)  # a picture soon drawn
        wait_for(lambda: last_step(run) >= 40)
        hands.key("space")  # pause: pictures are of one model now
        time.sleep(2)
        paused_at = last_step(run)
        first = hands.picture(run)

        hands.drag((360, 120), (420, 100))  # on the picture: it turns
        moved = hands.picture(run)
        assert differ(first, moved) > 0.1

        hands.drag((60, 230), (120, 230))  # on a panel: it does not
        assert differ(moved, hands.picture(run)) == 0.0

        hands.key("m")  # another way of showing
        assert differ(moved, hands.picture(run)) > 0.2
        hands.key("1")  # the first training view, by a digit
        for _ in range(5):
            hands.key("m")  # around to the colours
        assert differ(first, hands.picture(run)) == 0.0

        assert last_step(run) == paused_at
        hands.key("space")  # training goes on, and faster without the window
        wait_for(lambda: last_step(run) > paused_at)
        hands.key("Escape")
        closed_at = last_step(run)
        wait_for(lambda: last_step(run) > closed_at + 60)
        assert hands.xdotool("search", "--name", "taichi_pynerf", check=False) == ""
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert "stopped at step" in stdout
    assert (run / "checkpoint.pth").exists()
    assert not (tmp_path / "imgui.ini").exists()


def test_random_events_neither_end_it_nor_fill_the_memory(display, scene, tmp_path):
    """A short form of `python -m benchmarks.viewer_soak`."""
    process = start_training(display, scene, tmp_path)
    try:
        soak = Soak(process, "taichi_pynerf: noise", seed=1, largest=(800, 500), full_seconds=2.0)
        memory = soak.run(60)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert sum(soak.counts.values()) == 60
    assert memory["after"] - memory["before"] < GREATEST_GROWTH


def test_a_run_is_looked_at_resized_minimised_and_closed(display, scene, tmp_path):
    model = tiny_model().eval()
    roughen(model.field)
    run = tmp_path / "run"
    run.mkdir()
    source = {"data_dir": str(scene), "dataset_type": None, "img_downscale": 1}
    save_pyramid_model(model, model.config, run / "checkpoint.pth", None, source)
    process = start(display, tmp_path, "view.py", "--checkpoint", run)
    try:
        hands = Hands(process, display, "taichi_pynerf: run")
        first = hands.picture(run)
        assert first.shape == (480, 640, 3)

        hands.xdotool("windowsize", "--sync", hands.window, 800, 300)
        assert hands.picture(run).shape == (300, 800 - 2 * 236, 3)
        hands.key("t")  # panels off
        assert hands.picture(run).shape == (300, 800, 3)

        hands.xdotool("windowunmap", "--sync", hands.window)
        time.sleep(1)
        hands.xdotool("windowmap", "--sync", hands.window)
        hands.xdotool("windowfocus", "--sync", hands.window)
        for key in ("k", "d", "d", "k", "x"):
            hands.key(key)
            time.sleep(0.3)
        wait_for((run / "camera_path.json").exists)
        assert len(json.loads((run / "camera_path.json").read_text())["keyframes"]) == 2
        subprocess.run([sys.executable, "-c", CLOSE, hands.window], env=display, check=True)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, stderr


def test_a_minimised_window_is_known(display, tmp_path):
    """In a process of its own, for Taichi's window and its X connection live to the end."""
    script = """
import ctypes, time
from taichi_pynerf.viewer.ggui.window import Window
window = Window("minimised?", 320, 200)
assert window.open and not window.hidden
x11, other = window._x11._x11, window._x11._display
for call, hidden in ((x11.XUnmapWindow, True), (x11.XMapWindow, False)):
    call(other, window._x11._window)
    x11.XFlush(other)
    for _ in range(100):
        window.poll()
        if window.hidden == hidden:
            break
        time.sleep(0.05)
    assert window.hidden == hidden
state = (ctypes.c_ulong * 1)(window._x11._atom(b"_NET_WM_STATE_HIDDEN"))
x11.XChangeProperty(
    other, window._x11._window, ctypes.c_ulong(window._x11._atom(b"_NET_WM_STATE")),
    ctypes.c_ulong(4), 32, 0, state, 1,
)
x11.XFlush(other)
for _ in range(100):
    window.poll()
    if window.hidden:
        break
    time.sleep(0.05)
assert window.hidden
window.close()
window.close()
assert not window.open
print("fine")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=display, cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "fine"


def test_without_a_screen_the_apps_end_with_one_line(display, scene, tmp_path):
    nowhere = {name: value for name, value in display.items() if name != "DISPLAY"}
    torch.save({}, tmp_path / "checkpoint.pth")
    cases = [
        ("train.py", "--gui", "--data_dir", scene, "--output_dir", tmp_path / "out"),
        ("view.py", "--checkpoint", tmp_path),
    ]
    for app, *arguments in cases:
        process = start(nowhere, tmp_path, app, *arguments)
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 2
        (line,) = stderr.splitlines()
        assert line.startswith("error: no screen here")
        assert "apps/render.py" in line
        assert stdout == ""
    assert not (tmp_path / "out").exists()
