"""apps/train.py as its users meet it: the command line, the run folder, the errors."""

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from scene_makers import blender_transforms, write_blender_scene

from taichi_pynerf.apps import train as train_app
from taichi_pynerf.errors import (
    CheckpointError,
    ConfigError,
    RunFolderError,
    SceneError,
    SceneWarning,
    UserError,
)
from taichi_pynerf.runs import scene_source
from taichi_pynerf.runs.run_lock import run_lock
from taichi_pynerf.training.trainer import PyNeRFTrainer

APPS = Path(__file__).parents[2] / "apps"
RUN_FILES = {"config.json", "checkpoint.pth", "log.jsonl", "metrics.json", "preview.png"}
if importlib.util.find_spec("matplotlib"):
    RUN_FILES.add("curves.png")
TINY = {
    "num_levels": 3,
    "base_resolution": 4,
    "max_resolution": 16,
    "hash_table_size": 2048,
    "features_per_level": 2,
    "hidden_dim": 16,
    "occupancy_resolution": 16,
    "occupancy_interval": 4,
    "march_resolution": 32,
    "batch_size": 64,
    "samples_per_batch": 1024,
    "warmup_steps": 4,
    "val_interval": 10,
}
SET_TINY = [argument for name, value in TINY.items() for argument in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def train():
    """The program as a module."""
    return train_app


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene folder whose images can be halved three times."""
    folder = tmp_path_factory.mktemp("scenes") / "noise"
    return write_blender_scene(folder, width=32, height=16, splits=("train", "val", "test"))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start the program in its own process: `start(*arguments) -> Popen`."""
    cache = tmp_path_factory.mktemp("cache")

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, str(APPS / "train.py"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cache,
            env={**os.environ, "TAICHI_PYNERF_CACHE": str(cache)},
        )

    return start


def arguments(scene, output_dir, *more, max_steps=24):
    """The command line of a tiny run; its folder is `output_dir`/noise."""
    paths = ["--data_dir", str(scene), "--output_dir", str(output_dir)]
    return [*paths, "--max_steps", str(max_steps), "--no-tensorboard", *SET_TINY, *more]


def parameters(run_dir):
    """All tensors of a run's model and optimizers, by name."""

    def flatten(value, name):
        if torch.is_tensor(value):
            yield name, value
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from flatten(item, f"{name}.{key}")

    content = torch.load(run_dir / "checkpoint.pth", weights_only=True)
    return dict(flatten({"model": content["model"], "training": content["training"]}, "checkpoint"))


def assert_same_tensors(run_a, run_b):
    a, b = parameters(run_a), parameters(run_b)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def snapshot(folder):
    """{file: bytes} of everything in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- what a run leaves ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def multiscale_run(start, scene, tmp_path_factory):
    """The folder and the printed text of a finished multi-scale run."""
    output_dir = tmp_path_factory.mktemp("outputs")
    process = start(*arguments(scene, output_dir, "--multiscale"))
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return output_dir / "noise", stdout


def test_a_run_leaves_its_files_and_nothing_else(multiscale_run):
    run_dir, _ = multiscale_run
    assert {path.name for path in run_dir.iterdir()} == RUN_FILES

    config = json.loads((run_dir / "config.json").read_text())
    assert {name: config["config"][name] for name in TINY} == TINY
    assert config["config"]["max_steps"] == 24
    assert config["scene"]["multiscale"] is True

    log = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "loss" in line] == [20]
    assert [line["step"] for line in log if "val" in line] == [10, 20]

    with Image.open(run_dir / "preview.png") as preview:
        width, height = preview.size
    assert width > 4 * 32  # truth, render, depth and level side by side
    assert height > 4 * 16  # a row per scale


def test_the_metrics_are_the_documented_ones(multiscale_run):
    run_dir, _ = multiscale_run
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert set(metrics) == {
        "test", "steps", "train_seconds", "samples_per_second", "backend", "device", "seed",
    }  # fmt: skip
    assert set(metrics["test"]) == {"psnr", "ssim", "scales", "images"}
    assert len(metrics["test"]["images"]) == 4 * 3
    assert set(metrics["test"]["images"][0]) == {"name", "scale", "psnr", "ssim"}
    assert list(metrics["test"]["scales"]) == ["1", "2", "4", "8"]
    for name in ("psnr", "ssim"):
        per_scale = [values[name] for values in metrics["test"]["scales"].values()]
        assert metrics["test"][name] == pytest.approx(sum(per_scale) / 4)
    assert all(set(values) == {"psnr", "ssim"} for values in metrics["test"]["scales"].values())
    assert (metrics["steps"], metrics["backend"], metrics["seed"]) == (24, "cpu", 0)
    assert metrics["train_seconds"] > 0
    assert metrics["samples_per_second"] > 0
    assert metrics["device"]


def test_a_run_ends_with_a_table_and_the_next_command(multiscale_run):
    run_dir, stdout = multiscale_run
    lines = stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == [
        "1/1", "1/2", "1/4", "1/8", "mean",
    ]  # fmt: skip
    assert str(run_dir) in lines[-1]
    assert lines[-1].split(":", 1)[1].strip().startswith(f"python {APPS / 'train.py'} --resume ")


def test_without_data_the_demo_scene_is_trained_on_at_all_scales(
    train, scene, tmp_path, monkeypatch
):
    monkeypatch.setattr(scene_source, "demo_scene_dir", lambda: scene)
    train.main(["--output_dir", str(tmp_path), "--max_steps", "2", "--no-tensorboard", *SET_TINY])
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    assert len(metrics["test"]["scales"]) == 4
    content = torch.load(tmp_path / "demo" / "checkpoint.pth", weights_only=True)
    assert content["scene"]["data_dir"] is None  # wherever the next machine keeps it


def test_a_seed_gives_one_model_and_a_single_level_has_one_head(train, scene, tmp_path):
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        torch.rand(1)  # whatever was drawn before must not matter
        train.main(
            arguments(
                scene, tmp_path, "--single_level", "--seed", seed, "--experiment_name", name,
                max_steps=6,
            )
        )  # fmt: skip
    assert_same_tensors(tmp_path / "a", tmp_path / "b")
    a, c = parameters(tmp_path / "a"), parameters(tmp_path / "c")
    heads = [name for name in a if name.startswith("checkpoint.model.field.heads.")]
    assert {name.split(".")[4] for name in heads} == {"0"}
    assert not any(torch.equal(a[name], c[name]) for name in heads)
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert list(metrics["test"]["scales"]) == ["1"]


# ---- stopping and going on -----------------------------------------------------------------


def interrupt_at(monkeypatch, step):
    """Send Ctrl-C while the training is in a certain step."""
    train_step = PyNeRFTrainer.train_step

    def interrupted(trainer):
        if trainer.step == step:
            signal.raise_signal(signal.SIGINT)
        return train_step(trainer)

    monkeypatch.setattr(PyNeRFTrainer, "train_step", interrupted)


def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(
    train, scene, tmp_path, monkeypatch, capsys
):
    for name in ("whole", "parts"):
        command = arguments(scene, tmp_path, "--multiscale", "--experiment_name", name)
        if name == "parts":
            interrupt_at(monkeypatch, step=9)
        train.main(command)
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    assert "stopped at step 10" in capsys.readouterr().out
    assert not (parts / "metrics.json").exists()
    monkeypatch.undo()
    train.main(["--resume", str(parts), "--no-tensorboard"])
    assert_same_tensors(whole, parts)
    results = [json.loads((run / "metrics.json").read_text())["test"] for run in (whole, parts)]
    assert results[0] == results[1]
    steps = [json.loads(line)["step"] for line in (parts / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_saves_a_checkpoint_and_says_where(train, start, scene, tmp_path, name):
    process = start(*arguments(scene, tmp_path, max_steps=10**6))
    log = tmp_path / "noise" / "log.jsonl"
    for _ in range(1200):  # a minute, should compiling take that long
        if log.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(getattr(signal, name))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    checkpoint = tmp_path / "noise" / "checkpoint.pth"
    stopped, resume = stdout.splitlines()[-2:]
    assert str(checkpoint) in stopped
    assert f"--resume {tmp_path / 'noise'}" in resume
    step = torch.load(checkpoint, weights_only=True)["training"]["step"]
    assert f"step {step}" in stopped

    train.main(["--resume", str(checkpoint), "--max_steps", str(step + 2)])
    metrics = json.loads((tmp_path / "noise" / "metrics.json").read_text())
    assert metrics["steps"] == step + 2


def test_two_trainings_do_not_write_into_one_folder(train, scene, tmp_path):
    (tmp_path / "noise").mkdir()
    with run_lock(tmp_path / "noise"), pytest.raises(RunFolderError, match="another training"):
        train.main(arguments(scene, tmp_path))
    assert list((tmp_path / "noise").iterdir()) == []
    train.main(arguments(scene, tmp_path, max_steps=2))  # the lock is gone


def test_a_checkpoint_is_read_after_the_other_training_has_let_go(train, old_run, monkeypatch):
    read = []
    monkeypatch.setattr(train, "read_checkpoint", read.append)
    with run_lock(old_run), pytest.raises(RunFolderError, match="another training"):
        train.main(["--resume", str(old_run), "--max_steps", "99"])
    assert read == []


def test_a_new_run_that_ends_early_leaves_no_other_run_under_its_name(
    train, scene, tmp_path, monkeypatch
):
    train.main(arguments(scene, tmp_path, max_steps=2))
    earlier = (tmp_path / "noise/checkpoint.pth").read_bytes()

    def killed(*_, **__):
        raise SystemExit(9)

    monkeypatch.setattr(PyNeRFTrainer, "train", killed)
    with pytest.raises(SystemExit):
        train.main(arguments(scene, tmp_path, "--seed", "5"))
    with pytest.raises(CheckpointError, match="noise"):
        train.main(["--resume", str(tmp_path / "noise"), "--max_steps", "4"])
    assert (tmp_path / "noise/checkpoint_before.pth").read_bytes() == earlier


# ---- bad input -----------------------------------------------------------------------------


@pytest.fixture
def old_run(tmp_path):
    """The folder of a run that must stay unchanged; its scene is named "broken"."""
    run_dir = tmp_path / "outputs" / "broken"
    run_dir.mkdir(parents=True)
    for name in RUN_FILES:
        (run_dir / name).write_text("of an earlier run")
    return run_dir


@pytest.fixture
def broken(tmp_path):
    """A scene folder to break."""
    return write_blender_scene(tmp_path / "broken", width=32, height=16, splits=("train", "test"))


def with_pose(folder, row, column, value):
    transforms = blender_transforms()
    transforms["frames"][1]["transform_matrix"][row][column] = value
    (folder / "transforms_train.json").write_text(json.dumps(transforms))


def no_folder(folder):
    folder.rename(folder.with_name("elsewhere"))
    return "broken", "no such folder"


def pose_not_finite(folder):
    with_pose(folder, 0, 3, float("nan"))
    return "transforms_train.json: frames[1]", "not finite"


def pose_not_invertible(folder):
    transforms = blender_transforms()
    matrix = transforms["frames"][1]["transform_matrix"]
    matrix[0], matrix[1] = matrix[2], matrix[2]
    (folder / "transforms_train.json").write_text(json.dumps(transforms))
    return "transforms_train.json: frames[1]", "not invertible"


def image_of_another_size(folder):
    Image.new("RGBA", (16, 16)).save(folder / "train" / "r_2.png")
    return "r_2.png", "16x16 pixels, where 32x16"


def image_of_another_mode(folder):
    # Ink without Adobe's marker, the one mode of a JPEG that cannot be read safely.
    buffer = io.BytesIO()
    Image.new("CMYK", (32, 16)).save(buffer, "JPEG")
    data = buffer.getvalue()
    start = data.index(b"\xff\xee")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    (folder / "train" / "r_2.png").write_bytes(data[:start] + data[start + 2 + length :])
    return "r_2.png", "CMYK"


def truncated_image(folder):
    path = folder / "train" / "r_0.png"
    path.write_bytes(path.read_bytes()[:200])
    return "r_0.png", "cut off or broken"


def test_a_missing_image_is_left_out_and_named(train, broken, tmp_path):
    (broken / "train" / "r_1.png").unlink()
    with pytest.warns(SceneWarning, match=r"r_1"):
        train.main(arguments(broken, tmp_path, max_steps=2))
    assert (tmp_path / "broken" / "metrics.json").is_file()


@pytest.mark.parametrize(
    "spoil",
    [
        no_folder, pose_not_finite, pose_not_invertible, image_of_another_size,
        image_of_another_mode, truncated_image,
    ],
)  # fmt: skip
def test_a_broken_scene_is_refused(train, broken, old_run, spoil):
    name, fault = spoil(broken)
    before = snapshot(old_run)
    with pytest.raises(SceneError) as caught:
        train.main(arguments(broken, old_run.parent))
    refused_in_one_line(str(caught.value), name, fault)
    assert snapshot(old_run) == before


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (["--max_steps", "0"], "max_steps"),
        (["--max_steps", "many"], "max_steps"),
        (["--max_seconds", "-1"], "max_seconds"),
        (["--max_seconds", "nan"], "max_seconds"),
        (["--img_downscale", "0"], "--img_downscale"),
        (["--img_downscale", "-2"], "--img_downscale"),
        (["--seed", "-1"], "seed"),
        (["--learning_rate", "-0.1"], "learning_rate"),
        (["--set", "hidden_dim=-4"], "hidden_dim"),
        (["--set", "hash_table_size=1000"], "hash_table_size"),
        (["--set", "num_level=8"], "num_level"),
        (["--set", "num_levels"], "--set num_levels"),
        (["--set", "unbounded=true"], "unbounded"),
        (["--set", "data_device=cuda"], "data_device"),
        (["--experiment_name", "../elsewhere"], "--experiment_name"),
        (["--scale_schedule", "0:8"], "--scale_schedule"),
        (["--multiscale", "--scale_schedule", "0:3"], "--scale_schedule 0:3"),
        (["--multiscale", "--scale_schedule", "5:1"], "--scale_schedule 5:1"),
        (["--resume", "nowhere"], "nowhere"),
    ],
)
def test_a_bad_value_is_refused(train, broken, old_run, given, name):
    before = snapshot(old_run)
    with pytest.raises((ConfigError, CheckpointError)) as caught:
        train.main([*arguments(broken, old_run.parent), *given])
    refused_in_one_line(str(caught.value), name)
    assert snapshot(old_run) == before
    assert not (old_run.parent.parent / "elsewhere").exists()


def test_images_that_cannot_be_reduced_are_named(train, broken, old_run):
    before = snapshot(old_run)
    with pytest.raises(SceneError) as caught:
        train.main(arguments(broken, old_run.parent, "--img_downscale", "300"))
    refused_in_one_line(str(caught.value), "r_0.png", "img_downscale")
    assert snapshot(old_run) == before


@pytest.mark.parametrize(
    "given",
    [
        ["--backend", "opengl"],
        ["--preset", "tpu"],
        ["--dataset_type", "colmap2"],
        ["--data_directory", "x"],
    ],
)
def test_a_wrong_command_line_is_one_line(train, capsys, given):
    with pytest.raises(SystemExit) as caught:
        train.main(given)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert given[0] in line


def test_a_backend_that_is_not_there_is_named(train):
    with pytest.raises(UserError) as caught:
        train.main(["--backend", "vulkan"])
    refused_in_one_line(str(caught.value), "backend 'vulkan'", "cpu")


def of_another_config(content):
    content["config"]["hidden_dim"] += 1


def of_an_unusable_config(content):
    content["config"]["num_levels"] = -1


def without_training(content):
    content["training"] = None


def without_optimizers(content):
    del content["training"]["optimizers"]


def without_scene(content):
    content["scene"] = None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (of_another_config, "another configuration"),
        (of_an_unusable_config, "configuration"),
        (without_training, "no training"),
        (without_optimizers, "cannot be resumed"),
        (without_scene, "which scene"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(train, multiscale_run, old_run, change, fault):
    content = torch.load(multiscale_run[0] / "checkpoint.pth", weights_only=True)
    change(content)
    checkpoint = old_run / "checkpoint.pth"
    torch.save(content, checkpoint)
    before = snapshot(old_run)
    with pytest.raises(CheckpointError) as caught:
        train.main(["--resume", str(old_run), "--max_steps", "30"])
    refused_in_one_line(str(caught.value), str(old_run), fault)
    assert snapshot(old_run) == before


def test_a_copy_of_a_checkpoint_does_not_write_over_its_run(train, multiscale_run, tmp_path):
    copy = tmp_path / "best.pth"
    copy.write_bytes((multiscale_run[0] / "checkpoint.pth").read_bytes())
    (tmp_path / "checkpoint.pth").write_text("of another run")
    before = snapshot(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        train.main(["--resume", str(copy), "--max_steps", "30"])
    refused_in_one_line(str(caught.value), str(copy), "new folder")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "given",
    [["--seed", "1"], ["--single_level"], ["--set", "hidden_dim=8"], ["--set", "max_step=9"]],
    ids=lambda given: given[-1],
)
def test_a_run_that_goes_on_keeps_its_settings(train, multiscale_run, given):
    run_dir, _ = multiscale_run
    before = snapshot(run_dir)
    with pytest.raises(ConfigError) as caught:
        train.main(["--resume", str(run_dir), *given])
    refused_in_one_line(str(caught.value), given[0], "--resume")
    assert snapshot(run_dir) == before


def test_the_process_ends_with_one_line_and_status_2(start, broken, old_run, multiscale_run):
    (broken / "transforms_train.json").write_text('{"frames": [')
    cut_off = old_run.parent / "cut_off.pth"
    cut_off.write_bytes((multiscale_run[0] / "checkpoint.pth").read_bytes()[:1000])
    before = snapshot(old_run.parent)
    cases = [
        (arguments(broken, old_run.parent), "transforms_train.json", "broken JSON at line 1"),
        (["--resume", cut_off], "cut_off.pth", "truncated"),
        (["--no_such_flag"], "--no_such_flag", "--help"),
    ]
    for given, name, fault in cases:
        process = start(*given)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 2
        (line,) = stderr.splitlines()
        assert line.startswith("error: ")
        refused_in_one_line(line, name, fault)
        assert stdout == ""
    assert snapshot(old_run.parent) == before


def refused_in_one_line(message, *parts):
    """Check that an error message is one line that names the fault and its place."""
    assert "\n" not in message
    assert "Traceback" not in message
    assert [part for part in parts if part not in message] == []
