"""The demo scene's tool: its two layouts."""

import pytest

from taichi_pynerf.apps import make_demo_scene as make_demo_scene_app

TINY = [
    *("--resolution", "8", "--samples_per_pixel", "1"),
    *("--num_train", "2", "--num_val", "1", "--num_test", "1"),
]


@pytest.mark.parametrize(
    ("flags", "file"), [([], "transforms_train.json"), (["--unbounded"], "transforms.json")]
)
def test_layout(flags, file, tmp_path, capsys):
    out = tmp_path / "scene"
    make_demo_scene_app.main([*TINY, *flags, "--output_dir", str(out)])
    assert capsys.readouterr().out == f"{out}\n"
    assert (out / file).is_file()


def test_the_unbounded_scene_is_not_cached(capsys):
    with pytest.raises(SystemExit) as caught:
        make_demo_scene_app.main([*TINY, "--unbounded"])
    assert caught.value.code == 2
    assert "--unbounded needs --output_dir" in capsys.readouterr().err


def test_a_scene_is_chosen_by_name_and_unknown_ones_are_refused(tmp_path, capsys):
    out = tmp_path / "scene"
    make_demo_scene_app.main([*TINY, "--scene", "glossy", "--output_dir", str(out)])
    assert '"scene": "glossy"' in (out / "demo_scene.json").read_text()
    for flags, fault in (
        (["--scene", "bonsai"], "invalid choice: 'bonsai'"),
        (["--scene", "foliage", "--unbounded"], "--unbounded is of the scene still-life alone"),
    ):
        with pytest.raises(SystemExit) as caught:
            make_demo_scene_app.main([*TINY, *flags, "--output_dir", str(tmp_path / "other")])
        assert caught.value.code == 2
        assert fault in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_exposures_and_depths_are_the_unbounded_scene_s(tmp_path, capsys):
    out = tmp_path / "scene"
    flags = ["--unbounded", "--exposure_stops", "1", "--depth", "--output_dir", str(out)]
    make_demo_scene_app.main([*TINY, *flags])
    assert (out / "exposures.json").is_file()
    assert (out / "depths" / "train_001.png").is_file()
    with pytest.raises(SystemExit) as caught:
        make_demo_scene_app.main([*TINY, "--depth", "--output_dir", str(tmp_path / "other")])
    assert caught.value.code == 2
    assert "need --unbounded" in capsys.readouterr().err
