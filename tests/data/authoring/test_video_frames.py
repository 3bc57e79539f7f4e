"""Sharp frames from a video that is written here."""

import numpy as np
import pytest
from PIL import Image

from taichi_pynerf.data.authoring.video_frames import (
    extract_sharp_frames,
    quarter_turns,
    sharpness_of,
)
from taichi_pynerf.errors import SceneError

NUM_FRAMES, WIDTH, HEIGHT = 24, 96, 64
SHARP = (2, 9, 13, 22)  # one in each quarter


@pytest.fixture(scope="module")
def av():
    return pytest.importorskip("av", reason="PyAV (the extra [video]) is not installed")


@pytest.fixture(scope="module")
def video(av, tmp_path_factory):
    """Checks of growing brightness, blurred in all frames but `SHARP`."""
    path = tmp_path_factory.mktemp("video") / "walk.mp4"
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    checks = ((x // 8 + y // 8) % 2).astype(float)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 4_000_000
        for i in range(NUM_FRAMES):
            contrast = 80.0 if i in SHARP else 15.0
            grey = (20 + 5 * i + contrast * checks).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.dstack([grey] * 3), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def darkest(path):
    with Image.open(path) as image:
        assert image.size == (WIDTH, HEIGHT)
        return np.percentile(np.asarray(image), 10)


def test_the_sharpest_frame_of_every_window_is_taken(video, tmp_path):
    names = extract_sharp_frames(video, tmp_path, 4, progress=False)
    assert names == [f"frame_{i:05d}.jpg" for i in (1, 2, 3, 4)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name, i in zip(names, SHARP, strict=True):
        assert abs(darkest(tmp_path / name) - (20 + 5 * i)) < 4


def test_a_short_video_gives_all_it_has(video, tmp_path):
    assert len(extract_sharp_frames(video, tmp_path, 1000, progress=False)) == NUM_FRAMES


def test_what_is_no_video_is_one_line(av, tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_bytes(b"not a video" * 100)
    with pytest.raises(SceneError, match=r"notes\.mp4: cannot be decoded") as caught:
        extract_sharp_frames(path, tmp_path, 4, progress=False)
    assert "\n" not in str(caught.value)


def test_display_matrix_turns_counter_clockwise():
    picture = np.zeros((2, 3))
    picture[0, 0] = 1.0  # top left
    assert np.rot90(picture, quarter_turns(-90))[0, 1] == 1.0  # clockwise: top right
    assert np.rot90(picture, quarter_turns(90))[2, 0] == 1.0  # counter-clockwise: bottom left
    assert [quarter_turns(degrees) for degrees in (0, 90, -180, 180, 270)] == [0, 1, 2, 2, 3]


def test_blur_lowers_sharpness():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32))
    blurred = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, 2, 0)) / 4
    assert sharpness_of(noise) > 2 * sharpness_of(blurred)
    assert sharpness_of(np.full((5, 5), 7)) == 0.0
