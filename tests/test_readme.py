"""The commands and examples of the README work as written."""

import importlib
import re
from pathlib import Path

import pytest
from PIL import Image

from taichi_pynerf import load
from taichi_pynerf.demo.scene import DemoSceneSettings, demo_scene_dir
from taichi_pynerf.demo.unbounded import DISTANCES, make_unbounded_demo
from taichi_pynerf.evaluation.evaluation import render_view
from taichi_pynerf.runs import scene_source

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    """The fenced code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_the_two_commands_stand_alone():
    assert "pip install -e . && python apps/train.py\n" in blocks("bash")
    assert 'pip install -e ".[test]" && pytest\n' in blocks("bash")


def test_the_python_example_runs(tmp_path, monkeypatch):
    example, _ = blocks("python")
    assert example.count("max_steps=300") == 1
    example = example.replace("max_steps=300", "max_steps=80, samples_per_batch=4096")
    small = demo_scene_dir(tmp_path / "cache", resolution=64, num_train=24, num_val=1, num_test=2)
    monkeypatch.setattr(scene_source, "demo_scene_dir", lambda: small)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    # A picture of nothing but the white background has less than 10 dB.
    assert names["results"]["psnr"] > 12
    assert list(names["results"]["scales"]) == ["1", "2", "4", "8"]
    shapes = [names[name].shape for name in ("image", "depth", "level")]
    assert shapes == [(240, 320, 3), (240, 320), (240, 320)]
    with Image.open(tmp_path / "orbit.webp") as film:
        assert film.n_frames == 24
    assert load(tmp_path / "model.pth").steps == 80


def test_the_loss_with_depth_runs_and_depth_helps(tmp_path, monkeypatch):
    """The README's loss, from two views of the unbounded demo scene, which has depth images."""
    monkeypatch.chdir(tmp_path)
    _, example = blocks("python")
    settings = DemoSceneSettings(64, 2, 1, 1, DISTANCES, 4)
    make_unbounded_demo(tmp_path / "scene", settings, depth=True, progress=False)
    example = example.replace("path/to/scene", str(tmp_path / "scene"))
    example = example.replace("max_steps=200", "max_steps=120, samples_per_batch=4096")
    errors = {}
    for weight in ("0.1", "0.0"):
        names = {}
        exec(
            compile(example.replace("0.1 * depth", f"{weight} * depth"), "README.md", "exec"), names
        )
        dataset, model = names["dataset"], names["trainer"].model.eval()
        assert names["trainer"].step == 120
        out, truth = render_view(model, dataset, 0), dataset.depth(0)
        known = truth > 0
        errors[weight] = (out["depth"] - truth).abs()[known].median().item()
    assert errors["0.1"] < 0.8 * errors["0.0"]
    assert load("model.pth").steps == 120


def test_links_to_files_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert targets
    absent = [target for target in targets if not (ROOT / target).exists()]
    assert absent == []


PROGRAMS = {
    str(path.relative_to(ROOT)): path
    for folder in ("apps", "data_tools")
    for path in sorted((ROOT / folder).glob("*.py"))
}


def flags_of(program):
    """The flags of a program, by its own parser."""
    module = importlib.import_module(f"taichi_pynerf.apps.{program.stem}")
    return {flag for action in module.build_parser()._actions for flag in action.option_strings}


COMMANDS = re.findall(r"`python ((?:apps|data_tools)/\w+\.py)([^`]*)`", README)


@pytest.mark.parametrize(("program", "arguments"), COMMANDS)
def test_commands_name_flags_that_the_program_has(program, arguments):
    flags = set(re.findall(r"--\w+", arguments))
    assert flags <= flags_of(PROGRAMS[program])


def test_flags_named_alone_are_some_program_s():
    known = set().union(*map(flags_of, PROGRAMS.values())) | {"--help"}
    assert set(re.findall(r"--\w+", README)) <= known
