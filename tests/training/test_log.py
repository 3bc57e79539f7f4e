"""The log of a training: lines, TensorBoard, curves."""

import json
import sys
import warnings

import pytest
import torch
from PIL import Image

from taichi_pynerf.errors import MissingPackageError, RunWarning
from taichi_pynerf.training.log import FILE_NAME, TrainingLog, read_log, write_curves


def lines(count=5):
    for step in range(20, 20 * (count + 1), 20):
        yield {
            "step": step, "loss": 1 / step, "psnr": 20 + step / 100, "learning_rate": 0.01,
            "samples_per_second": 1e5,
        }  # fmt: skip
        if step % 40 == 0:
            psnr = None if step == 40 else 21.0 + step / 100
            yield {"step": step, "val": {"psnr": psnr, "scales": {"1": {"psnr": psnr}}}}


def test_what_is_written_is_read(tmp_path):
    log = TrainingLog(tmp_path)
    for line in lines():
        log.write(line)
    log.write({"step": 120, "loss": float("nan")})
    assert read_log(tmp_path / "log.jsonl") == [*lines(), {"step": 120, "loss": None}]
    assert not log.wants_images


def test_a_training_that_goes_on_from_a_checkpoint_forgets_what_came_after(tmp_path):
    log = TrainingLog(tmp_path)
    log.cut(10)  # there is no file yet
    for line in lines():
        log.write(line)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 120, "lo')  # the crash
    log.cut(60)
    log.write({"step": 80, "loss": 0.5})
    written = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in written] == [20, 40, 40, 60, 80]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = TrainingLog(None, tensorboard=None)
    log.write({"step": 1, "loss": 0.5})
    log.image(1, "val", torch.zeros(4, 4, 3))
    log.cut(0)
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "outside")
    with pytest.warns(RunWarning, match="its log has a gap"):
        TrainingLog(tmp_path).write({"step": 20, "loss": 0.5})
    assert not (tmp_path / "outside").exists()


def test_a_folder_of_tensorboard_that_is_a_link_is_not_followed(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "outside").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").symlink_to(tmp_path / "outside")
    log = TrainingLog(tmp_path / "run", tensorboard=True)
    with pytest.warns(RunWarning, match="tensorboard: a link, which is not followed"):
        log.write({"step": 20, "loss": 0.5})
    log.close()
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\xff\xfe", b'{"step": 4', b"[" * 10**5, b'{"step": ' + b"9" * 5000 + b"}",
        b'{"step": 1' + b"0" * 400 + b"}", b'{"step": -1}', b'{"step": "30"}',
    ],
)  # fmt: skip
def test_lines_that_cannot_be_read_are_left_out(tmp_path, rubbish):
    path = tmp_path / FILE_NAME
    path.write_bytes(b'{"step": 20}\n' + rubbish + b'\n{"step": 40}\n')
    assert [line["step"] for line in read_log(path)] == [20, 40]


def test_tensorboard_that_cannot_write_is_left_alone(tmp_path, monkeypatch):
    class Full:
        def add_scalar(self, *_):
            raise OSError(28, "No space left on device")

    log = TrainingLog(tmp_path)
    monkeypatch.setattr(log, "_writer_class", lambda *_, **__: Full())
    with pytest.warns(
        RunWarning, match="tensorboard: No space left on device; the training goes on"
    ):
        log.write({"step": 20, "loss": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log.write({"step": 40, "loss": 0.4})
        log.image(40, "val", torch.zeros(4, 4, 3))
        log.close()
    assert [line["step"] for line in read_log(tmp_path / FILE_NAME)] == [20, 40]


def test_tensorboard_gets_numbers_and_images(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TrainingLog(tmp_path, tensorboard=True)
    assert log.wants_images
    for line in lines():
        log.write(line)
    log.image(40, "val/r_0", torch.rand(8, 6, 3))
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {"train/loss", "train/psnr", "val/scales/1/psnr"} <= set(events.Tags()["scalars"])
    found = [(event.step, event.value) for event in events.Scalars("train/psnr")]
    assert found == [(s, pytest.approx(20 + s / 100)) for s in (20, 40, 60, 80, 100)]
    (image,) = events.Images("val/r_0")
    assert (image.step, image.width, image.height) == (40, 6, 8)


def test_tensorboard_is_said_to_be_missing_only_if_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingPackageError, match=r"\[log\]"):
        TrainingLog(tmp_path, tensorboard=True)
    monkeypatch.setattr("taichi_pynerf.training.log.find_spec", lambda name: None)
    assert not TrainingLog(tmp_path, tensorboard=None).wants_images


@pytest.mark.parametrize("count", [0, 1, 30])
def test_curves_are_drawn_of_any_log(tmp_path, count):
    pytest.importorskip("matplotlib")
    log = TrainingLog(tmp_path)
    (tmp_path / "log.jsonl").touch()
    for line in lines(count):
        log.write(line)
    write_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (900, 550)
        colors = image.convert("RGB").getcolors(2**20)
    blue = sum(count for count, (r, g, b) in colors if (r, g, b) == (0x1F, 0x5F, 0x7F))
    assert (blue > 100) == (count > 1)


@pytest.mark.parametrize(
    "content",
    [
        {"loss": "x"}, {"loss": [1]}, {"loss": 10**400}, {"psnr": {}}, {"loss": float("nan")},
        {"val": 5}, {"val": {"scales": [1]}}, {"val": {"scales": {"1": {"psnr": "x"}}}},
        {"val": {"scales": {"1": 5, "$\\frac{": {"psnr": 20.0}}}}, {"learning_rate": -1e300},
    ],
)  # fmt: skip
def test_curves_are_drawn_of_a_log_that_holds_anything(tmp_path, content):
    """A run from elsewhere is resumed: its log must not end the training."""
    pytest.importorskip("matplotlib")
    good = [{"step": 20, "loss": 0.5, "psnr": 20.0}, {"step": 60, "loss": 0.4, "psnr": 21.0}]
    rows = [good[0], {"step": 40, **content}, good[1]]
    (tmp_path / FILE_NAME).write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_curves(tmp_path / FILE_NAME, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (900, 550)


def test_a_log_that_cannot_be_written_stops_nothing_and_is_said_once(tmp_path):
    (tmp_path / FILE_NAME).mkdir()  # cannot be appended to
    log = TrainingLog(tmp_path)
    with pytest.warns(RunWarning, match=r"log\.jsonl: .*; the training goes on"):
        log.write({"step": 1, "loss": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log.write({"step": 2, "loss": 0.25})
