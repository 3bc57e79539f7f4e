"""Films as a player reads them."""

import sys

import numpy as np
import pytest
from PIL import Image

from taichi_pynerf.errors import MissingPackageError
from taichi_pynerf.rendering import video
from taichi_pynerf.rendering.video import video_suffix, write_video


def frames(count=6, width=32, height=24):
    """A grey that rises from frame to frame."""
    return [np.full((height, width, 3), 20 + 35 * i, np.uint8) for i in range(count)]


@pytest.mark.parametrize("size", [(32, 24), (33, 25), (1, 1)])
@pytest.mark.parametrize("fps", [24, 29.97])
def test_mp4_is_h264_in_even_sizes_with_the_frames_in_order(tmp_path, size, fps):
    av = pytest.importorskip("av")
    write_video(tmp_path / "film.mp4", iter(frames(6, *size)), fps)
    with av.open(str(tmp_path / "film.mp4")) as film:
        (stream,) = film.streams.video
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == tuple(max(side // 2 * 2, 2) for side in size)
        assert float(stream.average_rate) == pytest.approx(fps, rel=1e-3)
        grey = [frame.to_ndarray(format="rgb24").mean() for frame in film.decode(stream)]
    assert grey == pytest.approx([20 + 35 * i for i in range(6)], abs=4)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_an_mp4_says_which_colors_it_has(tmp_path):
    av = pytest.importorskip("av")
    green = np.zeros((24, 32, 3), np.uint8)
    green[..., 1] = 255
    write_video(tmp_path / "film.mp4", [green], 24)
    with av.open(str(tmp_path / "film.mp4")) as film:
        context = film.streams.video[0].codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        (picture,) = film.decode(video=0)
    assert tuple(map(int, tags)) == (1, 1, 1, 1)  # BT.709, 16 to 235
    luma = picture.to_ndarray()[:24]
    assert luma.mean() == pytest.approx(16 + 219 * 0.7152, abs=2)


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_an_animation_has_all_frames(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    write_video(path, frames(), 20)
    with Image.open(path) as film:
        assert (film.n_frames, film.size) == (6, (32, 24))
        film.seek(5)
        film.load()
        assert film.info["duration"] == 50
        assert np.asarray(film.convert("RGB")).mean() == pytest.approx(195, abs=6)


def test_without_pyav_films_are_webp_and_an_mp4_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "find_spec", lambda name: None)
    assert video_suffix() == ".webp"
    monkeypatch.setattr(video, "find_spec", lambda name: name)
    assert video_suffix() == ".mp4"
    monkeypatch.setitem(sys.modules, "av", None)  # an import of it fails
    with pytest.raises(MissingPackageError, match=r"pip install .*\[video\]"):
        write_video(tmp_path / "film.mp4", frames(), 24)
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_cannot_be_finished_leaves_nothing(tmp_path):
    def failing():
        yield from frames(2)
        raise OSError(28, "No space left on device")

    for name in ("film.mp4", "film.webp"):
        if name.endswith("mp4"):
            pytest.importorskip("av")
        with pytest.raises(OSError, match="No space left"):
            write_video(tmp_path / name, failing(), 24)
    assert list(tmp_path.iterdir()) == []


def test_wrong_films_are_refused(tmp_path):
    with pytest.raises(ValueError, match="frame"):
        write_video(tmp_path / "film.webp", [], 24)
    with pytest.raises(ValueError, match="film"):
        write_video(tmp_path / "film.avi", frames(), 24)
