"""The viewer without a window: what actions and widgets do, and that nothing breaks it."""

import random

import numpy as np
import pytest
from fake_screen import FakeScreen
from PIL import Image
from tiny import ball_scene, roughen, tiny_model

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.rendering.camera_path_files import read_camera_path
from taichi_pynerf.rendering.crop_files import read_crop
from taichi_pynerf.runtime.memory import resident_bytes
from taichi_pynerf.viewer.controls import ACTIONS, InputFrame
from taichi_pynerf.viewer.settings import Mode
from taichi_pynerf.viewer.viewer import Viewer

SIZE = (632, 100)  # a picture of 160 x 100 between the panels
PICTURE = (300.0, 50.0)


@pytest.fixture(scope="module")
def model():
    model = tiny_model().eval()
    roughen(model.field)
    return model


@pytest.fixture(scope="module")
def dataset():
    return PyNeRFDataset.from_scene(ball_scene(num_views=12))


@pytest.fixture
def viewer(model, dataset, tmp_path):
    return Viewer(model, dataset, output_dir=tmp_path / "run")


def press(*keys, **more):
    return InputFrame(pressed=keys, size=SIZE, cursor=(1.0, 1.0), **more)


def rounds(viewer, *frames, screen=None):
    """Some rounds with the frames, and on until all is drawn; the screen of it."""
    screen = screen or FakeScreen(size=SIZE)
    screen.frames.extend(frames)
    for _ in range(200):
        viewer._moved_at = float("-inf")  # as if the last move were long ago
        viewer.round(screen, 0.05)
        if not screen.frames and viewer.renderer.at_rest:
            break
    else:
        raise AssertionError("never at rest")
    viewer._settling = 1
    viewer.round(screen, 0.05)
    return screen


def test_the_picture_moves_with_the_camera(viewer):
    before = rounds(viewer).picture
    after = rounds(
        viewer,
        InputFrame(("LMB",), frozenset(["LMB"]), PICTURE, SIZE),
        InputFrame((), frozenset(["LMB"]), (340.0, 60.0), SIZE),
        InputFrame((), frozenset(), (340.0, 60.0), SIZE),
    ).picture
    assert before.shape == after.shape == (100, 160, 3)
    assert (before != after).any(-1).mean() > 0.05


def test_every_mode_is_another_picture(viewer):
    pictures = [rounds(viewer).picture]
    for mode in list(Mode)[1:]:
        pictures.append(rounds(viewer, press("m")).picture)
        assert viewer.settings.mode is mode
    for i, a in enumerate(pictures):
        for b in pictures[:i]:
            assert (a != b).any(-1).mean() > 0.02
    rounds(viewer, press("m"))
    assert viewer.settings.mode is Mode.COLOUR


def test_lines_and_background_change_the_picture_without_drawing_it_anew(viewer):
    plain = rounds(viewer).picture
    drawn = viewer.renderer.num_rays
    lines = rounds(viewer, press("f", "b")).picture
    assert 0.005 < (plain != lines).any(-1).mean() < 0.5
    assert viewer.renderer.num_rays == drawn
    screen = FakeScreen(size=SIZE)
    screen.gui.changes["back"] = (0.0, 0.0, 1.0)
    viewer._settling = 2
    other = rounds(viewer, press("f", "b"), screen=screen).picture
    assert viewer.settings.background == (0.0, 0.0, 1.0)
    assert other[0, 0, 2] > other[0, 0, 0]


def test_digits_and_arrows_stand_at_training_views(viewer):
    spread = []
    for digit in "1234567890":
        viewer.react(press(digit))
        spread.append(viewer.view)
    assert spread[0] == 0
    assert spread[-1] == 11
    assert spread == sorted(set(spread))
    viewer.react(press("Left"))
    assert viewer.view == 10
    np.testing.assert_allclose(viewer.camera.c2w, viewer.views.c2w[10], atol=1e-6)
    viewer.react(press("Right"))
    viewer.react(press("Right"))
    assert viewer.view == 0  # around
    viewer.react(press("w"))
    assert viewer.view is None
    viewer.react(press("r"))
    np.testing.assert_allclose(viewer.camera.c2w, viewer.views.c2w[0], atol=1e-6)


def test_widgets_change_what_they_say(viewer):
    screen = FakeScreen(size=SIZE)
    changes = {
        "level": 1.5, "exposure": 2.0, "view, deg": 60.0, "image": 4, "scene box (B)": True,
        "normals": True,
    }  # fmt: skip
    screen.gui.changes = dict(changes)
    rounds(viewer, press("v", "v"), screen=screen)
    assert not screen.gui.changes
    assert viewer.settings.fixed_level
    assert viewer.settings.level == 1.5
    assert viewer.settings.exposure == 2.0
    assert viewer.settings.mode is Mode.NORMALS
    assert viewer.settings.box
    assert viewer.view == 4
    distance = viewer.camera.distance
    screen.gui.changes = {"distance": 0.5}
    rounds(viewer, press("v", "v"), screen=screen)
    assert viewer.camera.distance == pytest.approx(2.0 * 10**0.5)
    assert viewer.camera.distance != distance


def test_a_crop_cuts_the_picture_and_is_edited_and_written(viewer, tmp_path):
    screen = FakeScreen(size=SIZE)
    whole = rounds(viewer, screen=screen).picture
    screen.gui.changes = {"crop": True}
    rounds(viewer, press("v", "v"), screen=screen)
    screen.gui.changes = {"size x": 0.5, "crop z": 0.25, "turn, deg": 90.0, "Write crop.json": True}
    cut = rounds(viewer, press("v", "v"), screen=screen).picture
    assert not screen.gui.changes
    crop = viewer.settings.crop
    assert crop.size == (0.5, 2.0, 2.0)
    assert crop.center == pytest.approx((0.0, 0.0, 0.25))
    assert crop.angles == pytest.approx((0.0, 0.0, np.pi / 2))
    assert (whole != cut).any()
    assert viewer.renderer.shot.crop == crop
    assert read_crop(viewer.output_dir / "crop.json") == crop
    for key in ("k", "d", "k", "x"):
        rounds(viewer, press(key), screen=screen)
    path = read_camera_path(viewer.output_dir / "camera_path.json")
    assert path.crop == crop


def test_a_crop_is_turned_in_a_large_scene_too(tmp_path):
    large = Viewer(tiny_model(aabb=[-1500.0] * 3 + [1500.0] * 3).eval(), output_dir=tmp_path)
    screen = FakeScreen(size=SIZE)
    screen.gui.changes = {"crop": True}
    rounds(large, press("v", "v"), screen=screen)
    screen.gui.changes = {"turn, deg": 5.0}
    rounds(large, press("v", "v"), screen=screen)
    assert large.settings.crop.angles == pytest.approx((0.0, 0.0, np.radians(5.0)))


def test_screenshots_are_files_with_the_picture(viewer, tmp_path):
    picture = rounds(viewer, press("p"), press("F12")).picture
    for number in (1, 2):
        with Image.open(tmp_path / "run" / f"screenshot_00{number}.png") as image:
            assert image.size == (160, 100)
    rounds(viewer, press("p"))
    with Image.open(tmp_path / "run" / "screenshot_003.png") as image:
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert "screenshot_003.png" in viewer.message


def test_keys_that_come_together_take_effect_one_after_the_other(viewer, tmp_path):
    """Panels off and a picture: it fills the window, though no frame came between the keys."""
    rounds(viewer, press("t", "p"))
    with Image.open(tmp_path / "run" / "screenshot_001.png") as image:
        assert image.size == SIZE


def test_a_folder_that_cannot_be_written_is_a_message(viewer, tmp_path):
    (tmp_path / "run").write_text("a file where the folder should be")
    rounds(viewer, press("p"))
    assert "run" in viewer.message
    assert "H shows" not in viewer.message


def test_without_drawing_nothing_is_drawn(viewer):
    viewer.act("drawing")
    screen = FakeScreen(size=SIZE)
    for _ in range(5):
        assert not viewer.round(screen, 0.05) or viewer._settling >= 0
    assert viewer.renderer.num_rays == 0
    assert screen.picture is not None  # an empty one, and the panels to turn it on again


def test_a_hidden_window_is_not_drawn_for(viewer):
    screen = FakeScreen(size=SIZE)
    screen.hidden = True
    assert not viewer.round(screen, 0.05)
    assert viewer.renderer.num_rays == screen.num_shown == 0


def test_escape_closes(viewer):
    screen = FakeScreen([press("Escape")], size=SIZE)
    viewer.round(screen, 0.05)
    assert not screen.open


def test_a_still_picture_is_shown_seldom(viewer):
    screen = rounds(viewer)
    for _ in range(5):
        viewer.round(screen, 0.05)
    shown = screen.num_shown
    for _ in range(20):
        assert not viewer.round(screen, 0.05)
    assert screen.num_shown <= shown + 1


def test_a_model_without_images_can_be_looked_at(model, tmp_path):
    viewer = Viewer(model, output_dir=tmp_path)
    screen = rounds(viewer, press("3"), press("f"), press("Right"))
    assert "no training images" in viewer.message
    rounds(viewer, *[press("m")] * 6, screen=screen)
    assert "image" not in screen.gui.labels


# ---- anything at all -----------------------------------------------------------------------


def random_frame(generator):
    """Senseless keys, buttons, sizes and places."""
    keys = [key for key in ACTIONS if key not in ("Escape", "p", "F12")] + list("wasdqe")
    pressed = generator.choices(keys, k=generator.randrange(3))
    held = [b for b in ("LMB", "RMB", "MMB", "Shift", "w", "Up") if generator.random() < 0.25]
    pressed += [b for b in held if generator.random() < 0.5]
    size = SIZE
    if generator.random() < 0.1:
        size = (generator.randrange(0, 900), generator.randrange(0, 160))
    cursor = (generator.uniform(-50, 950), generator.uniform(-50, 200))
    return InputFrame(tuple(pressed), frozenset(held), cursor, size, generator.uniform(0, 0.3))


def test_a_thousand_random_events_break_nothing_and_leak_nothing(model, dataset, tmp_path):
    viewer = Viewer(model, dataset, output_dir=tmp_path, save=lambda: tmp_path / "x.pth")
    viewer.renderer.budget.frame_seconds = 0.003
    generator = random.Random(0)
    screen = FakeScreen(size=SIZE)
    labels = ["back", "level", "exposure", "distance", "image", "view, deg", "one level everywhere"]
    values = {"back": (0.1, 2.0, -1.0), "image": 3, "one level everywhere": True}
    for number in range(1000):
        if number == 100:  # all buffers have been as large as they get
            before = resident_bytes()
        screen.frames.append(random_frame(generator))
        if generator.random() < 0.1:
            label = generator.choice(labels)
            screen.gui.changes = {label: values.get(label, generator.uniform(0.0, 0.9))}
        if generator.random() < 0.1:
            viewer.renderer.model_changed(training=generator.random() < 0.5)
        viewer.round(screen, 0.001)
        assert screen.open
        assert np.isfinite(viewer.camera.c2w).all()
    assert resident_bytes() - before < 100e6
    assert screen.num_polled == 1000
