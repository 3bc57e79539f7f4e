"""apps/render.py as its users meet it."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from colmap_makers import HEIGHT, WIDTH, write_model
from format_makers import circle_poses, write_images
from PIL import Image
from scene_makers import orbit_poses, write_blender_scene
from tiny import roughen, tiny_model

from taichi_pynerf.apps import render as render_app
from taichi_pynerf.data.placement import Placement
from taichi_pynerf.errors import (
    CheckpointError,
    ConfigError,
    MissingPackageError,
    RunFolderError,
    SceneError,
)
from taichi_pynerf.evaluation.evaluation import evaluate
from taichi_pynerf.model import images as rendering
from taichi_pynerf.rendering.camera_path_files import write_camera_path
from taichi_pynerf.rendering.camera_paths import frame_cameras
from taichi_pynerf.runs.checkpoint import save_pyramid_model
from taichi_pynerf.runs.runs import Run, open_run
from taichi_pynerf.runs.scene_source import SceneSource
from taichi_pynerf.training import carving

APP = Path(__file__).parents[2] / "apps" / "render.py"


@pytest.fixture(scope="module")
def render():
    """The program's main."""
    return render_app.main


def make_run(folder, scene, seed=0, settings=None, **source):
    model = tiny_model(seed=seed, **(settings or {}))
    roughen(model.field, seed)
    folder.mkdir()
    save_pyramid_model(
        model, model.config, folder / "checkpoint.pth", {"step": 5},
        SceneSource(str(scene), **source).to_dict(),
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "noise"
    return write_blender_scene(folder, width=32, height=16, splits=("train", "test"))


@pytest.fixture
def trained(tmp_path, scene):
    """The folder of a run."""
    return make_run(tmp_path / "run", scene)


@pytest.fixture
def multiscale(tmp_path, scene):
    return make_run(tmp_path / "scales", scene, multiscale=True)


def size_of(path):
    with Image.open(path) as image:
        return image.size


def names(folder, pattern="*"):
    return sorted(path.name for path in folder.glob(pattern))


# ---- images --------------------------------------------------------------------------------


def test_every_view_of_the_split_with_all_that_can_be_saved(render, trained):
    more = ["--save_depth", "--save_acc", "--save_levels"]
    render(["--checkpoint", str(trained), *more])
    folder = trained / "renders" / "test"
    kinds = ("", "_acc", "_depth", "_depth_color", "_level")
    expected = sorted(f"r_{i}{kind}.png" for i in range(3) for kind in kinds)
    assert names(folder, "*.png") == expected
    assert {size_of(path) for path in folder.glob("*.png")} == {(32, 16)}
    with Image.open(folder / "r_1_depth.png") as depth:
        assert depth.mode.startswith("I")
    assert json.loads((folder / "r_1_depth.json").read_text())["depth_unit"] > 0

    opened = open_run(trained)
    data = opened.source.load("test")
    out = rendering.render_image(opened.model, data.cameras, 1, data.near, data.far)
    with Image.open(folder / "r_1.png") as image:
        difference = np.asarray(image) - out["rgb"].numpy() * 255
    assert np.abs(difference).max() <= 0.51


def test_metrics_are_those_of_evaluate_at_all_scales_of_the_run(render, multiscale, capsys):
    render(["--checkpoint", str(multiscale), "--compute_metrics", "--lpips", "none"])
    folder = multiscale / "renders" / "test"
    found = json.loads((folder / "metrics.json").read_text())
    opened = open_run(multiscale)
    expected = evaluate(opened.model, opened.source.load("test"))
    assert {name: found[name] for name in expected} == expected
    assert names(folder, "scale_*") == ["scale_1", "scale_1-2", "scale_1-4", "scale_1-8"]
    assert size_of(folder / "scale_1-8" / "r_2.png") == (4, 2)
    assert (folder / "metrics.md").read_text() in capsys.readouterr().out
    assert len((folder / "metrics.csv").read_text().splitlines()) == 1 + 12


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (["--scale", "1/2"], (16, 8)),
        (["--scale", "0.75"], (24, 12)),
        (["--scale", "2"], (64, 32)),
        (["--width", "20", "--height", "30"], (20, 30)),
    ],
)
def test_images_of_any_size(render, trained, given, size):
    render(["--checkpoint", str(trained), *given, "--output_dir", str(trained / "out")])
    assert size_of(trained / "out" / "r_0.png") == size


def test_one_level_and_supersampling_have_folders_of_their_own(render, trained):
    for given in ([], ["--level", "1"], ["--level", "0.5"], ["--supersample", "2"]):
        render(["--checkpoint", str(trained), *given])
    folders = ["test", "test_level0.5", "test_level1", "test_supersampled2"]
    assert names(trained / "renders") == folders
    images = [(trained / "renders" / folder / "r_0.png").read_bytes() for folder in folders]
    assert len(set(images)) == 4


# ---- going on -------------------------------------------------------------------------------


def test_a_render_that_was_stopped_goes_on_with_what_is_left(render, trained, monkeypatch):
    flags = ["--checkpoint", str(trained), "--compute_metrics", "--lpips", "none"]
    render([*flags, "--output_dir", str(trained / "whole")])
    calls = []
    render_image = rendering.render_image

    def counted(*args, **kwargs):
        calls.append(args[2])
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return render_image(*args, **kwargs)

    monkeypatch.setattr("taichi_pynerf.rendering.folder.render_image", counted)
    parts = [*flags, "--output_dir", str(trained / "parts")]
    with pytest.raises(KeyboardInterrupt):
        render(parts)
    with (trained / "parts" / "renders.jsonl").open("ab") as ledger:
        ledger.write(b'{"stem": "r_1", "ke')  # as a crash leaves it
        ledger.write(b"\n\xff\n" + b"[" * 10**5 + b"\n")  # as a bad disk does
    calls.clear()
    monkeypatch.undo()
    monkeypatch.setattr(
        "taichi_pynerf.rendering.folder.render_image",
        lambda *args: (calls.append(args[2]), render_image(*args))[1],
    )
    render(parts)
    assert calls == [1, 2]
    for name in ("r_0.png", "r_1.png", "r_2.png", "metrics.json", "metrics.csv", "metrics.md"):
        whole, part = ((trained / run / name).read_bytes() for run in ("whole", "parts"))
        assert whole == part, name

    calls.clear()
    render(parts)
    assert calls == []  # all is there
    (trained / "parts" / "r_1.png").unlink()
    render(parts)
    assert calls == [1]
    render([*parts, "--save_acc"])
    assert calls == [1, 0, 1, 2]  # what was not asked for before
    calls.clear()
    render([*parts, "--overwrite"])
    assert calls == [0, 1, 2]


def test_links_in_the_run_folder_are_not_followed(trained, tmp_path):
    """A run folder from elsewhere may hold one that leads to any folder of the user."""
    (tmp_path / "outside").mkdir()
    (trained / "renders").symlink_to(tmp_path / "outside")
    with pytest.raises(RunFolderError, match="renders: this is a link"):
        render_app.main(["--checkpoint", str(trained)])
    assert list((tmp_path / "outside").iterdir()) == []


def test_renders_of_other_settings_are_not_written_over(render, trained):
    flags = ["--checkpoint", str(trained), "--output_dir", str(trained / "out")]
    render(flags)
    before = (trained / "out" / "r_0.png").read_bytes()
    with pytest.raises(ConfigError, match="--overwrite"):
        render([*flags, "--level", "0"])
    assert (trained / "out" / "r_0.png").read_bytes() == before
    render([*flags, "--level", "0", "--overwrite"])
    assert (trained / "out" / "r_0.png").read_bytes() != before


def test_what_was_beside_an_older_image_is_rendered_again(render, trained):
    flags = ["--checkpoint", str(trained), "--output_dir", str(trained / "out")]
    depth = trained / "out" / "r_0_depth.png"
    render([*flags, "--save_depth"])
    before = depth.read_bytes()
    other = make_run(trained / "other", open_run(trained).scene.folder(), seed=1)
    (other / "checkpoint.pth").replace(trained / "checkpoint.pth")  # it was trained further
    render([*flags, "--overwrite"])
    assert depth.read_bytes() == before  # of the model before
    render([*flags, "--save_depth"])
    assert depth.read_bytes() != before
    written = depth.stat().st_mtime_ns
    render([*flags, "--save_acc"])
    render([*flags, "--save_depth", "--save_acc"])
    assert depth.stat().st_mtime_ns == written  # both are of the same model


def test_a_run_of_nerfstudio_is_the_folder_above_its_checkpoints():
    run = Run(None, None, None, Path("runs/first/nerfstudio_models/step-000000007.ckpt"), 7)
    assert (run.folder, run.name) == (Path("runs/first").absolute(), "first")
    args = render_app.build_parser().parse_args([])
    assert render_app.output_dir(args, run, "test") == run.folder / "renders" / "test"
    assert Run(None, None, None, Path("runs/first/checkpoint.pth"), 7).folder == Path("runs/first")


# ---- films -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spiral", "orbit", "interpolate", "zoom"])
def test_a_film_of_each_path(render, trained, kind):
    av = pytest.importorskip("av")
    flags = ["--render_mode", "video", "--camera_path", kind, "--num_spiral_frames", "4"]
    render(["--checkpoint", str(trained), *flags, "--fps", "10", "--save_depth"])
    folder = trained / "renders" / kind
    assert names(folder, "*.mp4") == [f"{kind}.mp4", f"{kind}_depth_color.mp4"]
    assert len(names(folder / "frames", "*_depth.json")) == 4
    with av.open(str(folder / f"{kind}.mp4")) as film:
        (stream,) = film.streams.video
        assert (stream.width, stream.height, float(stream.average_rate)) == (32, 16, 10)
        assert len(list(film.decode(stream))) == 4


def test_a_film_without_what_is_close_to_cameras(render, tmp_path, monkeypatch):
    pytest.importorskip("pycolmap")
    monkeypatch.setattr(carving, "LEAST_POINTS", 5)
    photos = tmp_path / "photos"
    write_images(photos / "images", [f"view_{i:02d}.png" for i in range(9)], WIDTH, HEIGHT)
    write_model(photos / "sparse" / "0", circle_poses(9), "SIMPLE_PINHOLE", true_places=True)
    settings = {"unbounded": True, "num_cascades": 4, "sampler": "proposal"}
    run = make_run(tmp_path / "run", photos, settings=settings)
    flags = ["--render_mode", "video", "--camera_path", "interpolate", "--num_spiral_frames", "3"]
    render(["--checkpoint", str(run), *flags])
    render(["--checkpoint", str(run), *flags, "--min_views", "9"])
    whole, without = (
        [(run / "renders" / name / "frames" / f"0000{i}.png").read_bytes() for i in range(3)]
        for name in ("interpolate", "interpolate_min_views9")
    )
    assert all(a != b for a, b in zip(whole, without, strict=True))
    same_place = [*flags, "--output_dir", str(run / "renders" / "interpolate")]
    with pytest.raises(ConfigError, match="--overwrite"):
        render(["--checkpoint", str(run), *same_place, "--min_views", "9"])


def test_a_film_along_a_camera_path_of_nerfstudio(render, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("taichi_pynerf.rendering.video.find_spec", lambda name: None)
    cameras = frame_cameras(orbit_poses(3), torch.full((3,), 30.0), 20, 14)
    write_camera_path(tmp_path / "drive.json", cameras, 5)
    flags = ["--render_mode", "video", "--camera_path", str(tmp_path / "drive.json")]
    render(["--checkpoint", str(trained), *flags])
    film = trained / "renders" / "drive" / "drive.webp"
    with Image.open(film) as image:
        assert (image.n_frames, image.size) == (3, (20, 14))
        image.load()
        assert image.info["duration"] == 200
    printed = capsys.readouterr().out
    assert "[video]" in printed
    assert str(film) in printed
    render(["--checkpoint", str(trained), *flags, "--scale", "1/2", "--output_dir",
            str(tmp_path / "half")])  # fmt: skip
    assert size_of(tmp_path / "half" / "drive.webp") == (10, 7)
    render(["--checkpoint", str(trained), *flags, "--camera_type", "vr180", "--width", "12",
            "--height", "12", "--output_dir", str(tmp_path / "eyes")])  # fmt: skip
    assert size_of(tmp_path / "eyes" / "drive.webp") == (24, 12)  # --width is of one eye


# ---- comparisons -----------------------------------------------------------------------------


def test_runs_are_compared_in_strips_and_a_table(render, tmp_path, scene, capsys):
    (tmp_path / "other").mkdir()
    runs = [make_run(tmp_path / "run", scene), make_run(tmp_path / "other" / "run", scene, 1)]
    out = tmp_path / "out"
    render(["--compare", *map(str, runs), "--output_dir", str(out), "--lpips", "none"])
    assert names(out) == ["comparison.json", "comparison.md", "run_1", "run_2", "strips"]
    assert names(out / "strips") == ["r_0.png", "r_1.png", "r_2.png"]
    width, height = size_of(out / "strips" / "r_0.png")
    assert width > 3 * 32
    assert height > 3 * 16
    table = (out / "comparison.md").read_text()
    assert table in capsys.readouterr().out
    figures = json.loads((out / "comparison.json").read_text())
    for name in ("run_1", "run_2"):
        assert f"{figures[name]['psnr']:.2f}" in table


def test_compared_runs_have_names_of_their_own():
    runs = [
        Run(None, None, None, Path(folder, "checkpoint.pth"), 0) for folder in ("a/x", "b/x", "x_1")
    ]
    assert render_app.distinct_names(runs) == ["x_2", "x_3", "x_1"]


# ---- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ([], "--checkpoint"),
        (["--split", "val"], "--split val: the scene has"),
        (["--scale", "0"], "--scale 0"),
        (["--scale", "1/0"], "--scale 1/0"),
        (["--scale", "big"], "--scale big"),
        (["--scale", "17"], "--scale 17"),
        (["--scale", "1/64"], "without pixels"),
        (["--scale", "2/3", "--compute_metrics"], "--scale 2/3"),
        (["--width", "10"], "--width and --height"),
        (["--width", "0", "--height", "4"], "--width is 0"),
        (["--width", "8", "--height", "4", "--scale", "1"], "choose one"),
        (["--width", "8", "--height", "4", "--compute_metrics"], "own size"),
        (["--level", "4"], "--level 4: give auto, or 0 to 3"),
        (["--level", "coarse"], "--level coarse"),
        (["--supersample", "0"], "--supersample"),
        (["--chunk_size", "-3"], "--chunk_size"),
        (["--fps", "24"], "--fps needs --render_mode video"),
        (["--camera_path", "orbit"], "--camera_path needs --render_mode video"),
        (["--min_views", "2"], "use --render_mode video"),
        (["--render_mode", "video", "--min_views", "0"], "--min_views is 0"),
        (["--render_mode", "video", "--min_views", "2"], "has no sparse points"),
        (["--render_mode", "video", "--num_spiral_frames", "0"], "--num_spiral_frames"),
        (["--render_mode", "video", "--fps", "nan"], "--fps is nan"),
        (["--render_mode", "video", "--fps", "inf"], "--fps is inf"),
        (["--render_mode", "video", "--fps", "0.0001"], "--fps is 0.0001"),
        (["--render_mode", "video", "--split", "test"], "--split is of images"),
        (["--render_mode", "video", "--scale", "1", "1/2"], "--scale 1 1/2: give one"),
        (["--camera_type", "vr180", "--scale", "1", "1/2"], "--scale 1 1/2: give one"),
        (["--render_mode", "video", "--exif_exposure"], "--exif_exposure is of photographs"),
        (["--render_mode", "video", "--compute_metrics"], "photographs"),
        (["--render_mode", "video", "--camera_path", "nowhere.json"], "nowhere.json"),
        (["--data_dir", "nowhere"], "nowhere"),
    ],
)
def test_bad_values_are_refused_in_one_line(render, trained, given, fault):
    checkpoint = ["--checkpoint", str(trained)] if given else []
    with pytest.raises((ConfigError, SceneError)) as caught:
        render([*checkpoint, *given])
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names(trained) == ["checkpoint.pth"]  # nothing was written


def test_a_missing_checkpoint_and_lpips_asked_for_by_name(render, trained, monkeypatch, capsys):
    with pytest.raises(CheckpointError, match="nowhere"):
        render(["--checkpoint", "nowhere"])
    monkeypatch.setitem(sys.modules, "torchvision", None)
    flags = ["--checkpoint", str(trained), "--compute_metrics"]
    with pytest.raises(MissingPackageError, match=r"\[lpips\]"):
        render([*flags, "--lpips", "vgg"])
    render(flags)
    assert "LPIPS is left out: torchvision" in capsys.readouterr().out
    with (trained / "renders" / "test" / "metrics.json").open() as file:
        assert "lpips_alex" not in json.load(file)


def test_runs_of_different_scenes_are_not_compared(render, tmp_path, scene):
    other = write_blender_scene(tmp_path / "other", splits=("test",))
    runs = [make_run(tmp_path / "a", scene), make_run(tmp_path / "b", other)]
    turned = {"placement": Placement(orientation="up", center="poses")}
    runs.append(make_run(tmp_path / "c", scene, **turned))  # the scene in other coordinates
    runs.append(make_run(tmp_path / "d", scene, white_background=False))
    for run in runs[1:]:
        with pytest.raises(ConfigError, match="of other images"):
            render(["--compare", str(runs[0]), str(run), "--output_dir", str(tmp_path / "out")])


def run_app(*arguments, limit=None):
    def limited():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, str(APP), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, preexec_fn=limited, env=os.environ,
    )  # fmt: skip


def test_a_full_disk_is_one_line_and_leaves_no_half_file(trained):
    flags = ["--checkpoint", trained, "--scale", "4", "--output_dir", trained / "out"]
    process = run_app(*flags, limit=2000)  # bytes of a file
    assert process.returncode == 2, process.stderr
    assert process.stderr.splitlines()[-1].startswith("error: ")
    assert "r_0.png" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
    assert names(trained / "out") == []


def test_an_unwritable_folder_is_named(render, trained):
    (trained / "file").write_text("in the way")
    with pytest.raises(OSError, match="file") as caught:  # the app prints it as one line
        render(["--checkpoint", str(trained), "--output_dir", str(trained / "file" / "out")])
    assert str(trained / "file") in str(caught.value.filename)


# ---- crops, alpha, numbers ---------------------------------------------------------------------


def test_images_without_a_background_and_numbers_beside_them(render, trained):
    more = ["--transparent", "--save_normals", "--save_depth", "--depth_format", "npz"]
    render(["--checkpoint", str(trained), *more])
    folder = trained / "renders" / "test"
    kinds = (".png", "_depth.npz", "_depth_color.png", "_normal.png")
    assert names(folder, "r_0*") == sorted(f"r_0{kind}" for kind in kinds)
    with Image.open(folder / "r_0.png") as image:
        rgba = np.array(image)
    assert rgba.shape == (16, 32, 4)
    render(["--checkpoint", str(trained), "--output_dir", str(trained / "plain")])
    with Image.open(trained / "plain" / "r_0.png") as image:
        plain = np.array(image).astype(float)
    alpha = rgba[..., 3:] / 255
    assert np.abs(alpha * rgba[..., :3] + 255 * (1 - alpha) - plain).max() <= 2.0
    with np.load(folder / "r_0_depth.npz") as arrays:
        assert arrays["depth"].shape == (16, 32)
        assert arrays["normal"].shape == (16, 32, 3)


def test_a_crop_leaves_out_what_is_outside(render, trained, tmp_path):
    flags = ["--checkpoint", str(trained), "--transparent", "--output_dir"]
    render([*flags, str(tmp_path / "whole")])
    render([*flags, str(tmp_path / "half"), "--crop", "-1", "-1", "-1", "0", "1", "1"])
    render([*flags, str(tmp_path / "none"), "--crop", "5", "5", "5", "6", "6", "6"])

    def alpha(name):
        with Image.open(tmp_path / name / "r_0.png") as image:
            return np.array(image)[..., 3].astype(float)

    assert alpha("none").max() == 0
    assert 0 < alpha("half").sum() < 0.95 * alpha("whole").sum()
    assert (alpha("half") <= alpha("whole") + 1).all()


def test_the_crop_and_background_of_a_camera_path(render, trained, tmp_path):
    path = tmp_path / "path.json"
    cameras = frame_cameras(orbit_poses(2), torch.full((2,), 30.0), 32, 16)
    write_camera_path(path, cameras, 24)
    content = json.loads(path.read_text())
    content["crop"] = {
        "crop_center": [9, 9, 9], "crop_scale": [1, 1, 1],
        "crop_bg_color": {"r": 255, "g": 0, "b": 51},
    }  # fmt: skip
    path.write_text(json.dumps(content))
    render(["--checkpoint", str(trained), "--render_mode", "video", "--camera_path", str(path),
            "--output_dir", str(tmp_path / "film")])  # fmt: skip
    with Image.open(tmp_path / "film" / "frames" / "00000.png") as image:
        assert (np.array(image) == [255, 0, 51]).all()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--depth_format", "npz"], "needs --save_depth"),
        (["--crop", "1", "2"], "--crop 1 2"),
        (["--crop", "0", "0", "0", "1", "1", "1", "--compute_metrics"], "photographs show"),
    ],
)
def test_flags_that_make_no_sense_together(render, trained, flags, words):
    with pytest.raises(ConfigError, match=words):
        render(["--checkpoint", str(trained), *flags])


@pytest.mark.parametrize(
    ("kind", "size"),
    [("equirectangular", (32, 16)), ("vr180", (32, 16)), ("orthographic", (32, 16))],
)
def test_views_through_other_cameras(render, trained, kind, size):
    more = ["--save_depth", "--depth_format", "npz", "--supersample", "2"]
    render(["--checkpoint", str(trained), "--camera_type", kind, *more])
    folder = trained / "renders" / f"test_{kind}_supersampled2"
    assert size_of(folder / "r_0.png") == size
    with np.load(folder / "r_0_depth.npz") as arrays:
        seen = arrays["acc"] >= 0.5
        assert (arrays["depth"][seen] > 0).all()
        assert (arrays["depth"][seen] < 8).all()
        assert (arrays["depth"][~seen] == 0).all()
        if kind == "equirectangular":
            assert (arrays["z"] == arrays["depth"]).all()


def test_a_film_of_panoramas_along_a_path(render, trained, tmp_path):
    render(["--checkpoint", str(trained), "--render_mode", "video", "--camera_path", "orbit",
            "--num_spiral_frames", "2", "--camera_type", "equirectangular", "--width", "24",
            "--height", "12", "--output_dir", str(tmp_path / "film")])  # fmt: skip
    assert names(tmp_path / "film" / "frames") == ["00000.png", "00001.png"]
    assert size_of(tmp_path / "film" / "frames" / "00000.png") == (24, 12)
    with pytest.raises(ConfigError, match="--camera_type"):
        render(["--checkpoint", str(trained), "--camera_type", "vr180", "--compute_metrics"])
