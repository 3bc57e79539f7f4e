"""What the README tells a newcomer to type works as it stands there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    """The fenced code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_the_two_commands_stand_alone():
    assert "pip install -e . && python apps/train.py\n" in blocks("bash")
    assert 'pip install -e ".[test]" && pytest\n' in blocks("bash")


def test_the_python_example_runs(tmp_path, monkeypatch):
    (example,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAICHI_PYNERF_CACHE", str(tmp_path / "cache"))
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    # A picture of nothing but the white background has less than 10 dB.
    assert names["results"]["psnr"] > 12
    assert list(names["results"]["scales"]) == ["1", "2", "4", "8"]
    assert (tmp_path / "model.pth").is_file()
    assert names["pixels"]["rgb"].shape == (64 * 64, 3)


def test_links_to_files_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert targets
    absent = [target for target in targets if not (ROOT / target).exists()]
    assert absent == []


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"--[a-z_]+", README)) - {"--help"}))
def test_flags_exist(flag):
    app = (ROOT / "apps" / "train.py").read_text(encoding="utf-8")
    assert f'"{flag}"' in app
