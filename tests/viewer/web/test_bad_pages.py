"""What a page sends that cannot be used is refused, and the others go on."""

import time

import pytest
from web_pages import EYE, TARGET, page, rested, until

pytest.importorskip("viser", reason="viser is not installed")

NAN = float("nan")
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


def test_a_page_at_a_camera_that_cannot_be_is_not_moved_and_ends_nothing(stage):
    """Between such a view and the next one, buttons may ask to move it."""
    with page(stage) as one:
        one.look(EYE, TARGET)
        until(stage, rested(one), "a picture")
        viewer = stage.clients[0].viewer
        one.send_view((1, 0, 0, 0), (NAN,) * 3, (0, 0, 0), (0, 1, 0), 1.0, (64, 48))
        until(stage, lambda: "cannot be used" in viewer.message, "the refusal")
        viewer.message = ""
        one.set("First view", True)
        until(stage, lambda: "cannot be used" in viewer.message, "the second refusal")
        one.look((1.0, -2.0, 0.4), TARGET)
        until(stage, lambda: viewer.camera.position[0] == pytest.approx(1.0), "the move")
