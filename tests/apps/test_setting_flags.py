"""Every setting has a flag, with its own help and its own checks."""

import argparse
import dataclasses

import pytest

from taichi_pynerf.apps.flags.settings import add_setting_flags, settings_given
from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.settings import settings_of


@pytest.fixture
def given():
    """`given(*arguments)`: the settings of a command line."""
    parser = argparse.ArgumentParser()
    add_setting_flags(parser)
    return lambda *arguments: settings_given(parser.parse_args(arguments))


def test_every_setting_that_is_the_users_has_a_flag_that_takes_its_default(given):
    for field in dataclasses.fields(PyNeRFConfig):
        name, default = field.name, field.default
        if settings_of(PyNeRFConfig)[name].of_scene:
            continue
        if isinstance(default, bool):
            assert given(f"--{name}") == {name: True}
            assert given(f"--no-{name}") == {name: False}
        else:
            assert given(f"--{name}", str(default)) == {name: default}
            assert given("--set", f"{name}={default}") == {name: default}


def test_nothing_given_is_nothing_set(given):
    assert given() == {}


@pytest.mark.parametrize("name", ["aabb", "unbounded"])
def test_what_the_scene_gives_has_no_flag(given, name, capsys):
    with pytest.raises(SystemExit):
        given(f"--{name}", "1")
    with pytest.raises(ConfigError, match="the scene gives it"):
        given("--set", f"{name}=1")


def test_a_setting_is_given_once(given):
    with pytest.raises(ConfigError, match="--seed is given too"):
        given("--seed", "1", "--set", "seed=2")


def test_the_help_has_meaning_range_default_and_presets():
    parser = argparse.ArgumentParser(
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=300)
    )
    add_setting_flags(parser)
    text = parser.format_help()
    assert (
        "greatest learning rate; a number above 0 (0.001, cpu 0.02, gpu 0.01, quality 0.01)" in text
    )
    for setting in settings_of(PyNeRFConfig).values():
        assert setting.of_scene or setting.meaning in text
