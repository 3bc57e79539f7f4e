"""Key frames in a page: the flight through them, and its film."""

import io
import os
import subprocess
import sys
import threading

import pytest
from tiny import tiny_model
from web_pages import EYE, TARGET, page, push, until

pytest.importorskip("viser", reason="viser is not installed")


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


def test_a_size_of_film_that_there_is_not_is_refused(stage):
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, lambda: len(stage.clients) == 1, "the page")
        viewer = with_key_frames(stage, one)
        push(stage, one, "film size", "9 x 9")
        push(stage, one, "Render film", True)
        until(stage, lambda: "film size: choose one of" in viewer.message, "a word")
        push(stage, one, "film size", "1920 x 1080")
        push(stage, one, "Render film", True)
        until(stage, lambda: stage.clients[0].path.busy, "the film")
    until(stage, lambda: not stage.clients, "the parting")


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


def test_a_film_is_given_up_with_the_program_and_leaves_nothing(tmp_path):
    script = """
import sys
from pathlib import Path
from tiny import tiny_model
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.film import Film

folder = Path(sys.argv[1])
viewer = Viewer(tiny_model().eval(), output_dir=folder)
film = Film(viewer, [viewer.camera] * 1000, 64, 48, folder / "film.mp4", 24.0)
while not any(folder.iterdir()):
    film.advance(0.1)
    assert not film.finished, film.error
print("begun")
"""
    pytest.importorskip("av", reason="without PyAV nothing is written before the last frame")
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False,
        timeout=120, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("begun\n", 0), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nobody_waits_for_a_film_that_has_all_its_frames(tmp_path, monkeypatch):
    """An animation is encoded in one go, after its last frame."""
    from taichi_pynerf.viewer.viewer import Viewer
    from taichi_pynerf.viewer.web import film as films

    may_end = threading.Event()

    def encode(path, frames, fps):
        count = len(list(frames))
        assert may_end.wait(60)
        path.write_bytes(bytes(count))

    monkeypatch.setattr(films, "write_video", encode)
    viewer = Viewer(tiny_model().eval(), output_dir=tmp_path)
    film = films.Film(viewer, [viewer.camera] * 3, 8, 6, tmp_path / "film.webp", 24.0)
    while not film._all_taken.is_set():
        film.advance(0.1)
    film.give_up()
    assert not film.finished  # and yet it came back
    may_end.set()
    film._encoder.join(60)
    assert film.error is None
    assert film.path.read_bytes() == bytes(3)
