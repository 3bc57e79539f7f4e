"""A flag for every setting of `PyNeRFConfig`, with the help that the setting itself gives."""

import argparse
import dataclasses
from typing import Any

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.presets import PRESETS
from taichi_pynerf.settings import Setting, settings_of, value_of

DEFAULTS = {field.name: field.default for field in dataclasses.fields(PyNeRFConfig)}


def add_setting_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--NAME` for every setting that the user may choose, and `--set` for all of them."""
    groups: dict[str, Any] = {}
    for name, setting in settings_of(PyNeRFConfig).items():
        if setting.of_scene:
            continue
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(f"settings: {setting.group}")
        how: dict[str, Any] = {"type": value_of, "metavar": "VALUE"}
        if setting.choices == (True, False):
            how = {"action": argparse.BooleanOptionalAction}
        elif setting.choices:
            how = {"choices": setting.choices}
        groups[setting.group].add_argument(
            f"--{name}", default=None, help=help_text(name, setting).replace("%", "%%"), **how
        )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="another way to write --NAME VALUE; may be repeated",
    )  # fmt: skip


def help_text(name: str, setting: Setting) -> str:
    """Meaning, values and default of a setting, with the values of presets that differ."""
    default = DEFAULTS[name]
    defaults = [f"{default}"]
    defaults += [
        f"{preset} {values[name]}" for preset, values in PRESETS.items()
        if values.get(name, default) != default
    ]  # fmt: skip
    wanted = "" if setting.choices else f"; {setting.wanted}"
    return f"{setting.meaning}{wanted} ({', '.join(defaults)})"


def settings_given(args: argparse.Namespace) -> dict[str, Any]:
    """{name: value} of the settings on a command line.

    Raises:
        ConfigError: `--set` without a value, for a setting that the scene gives, or beside the
            setting's own flag.
    """
    settings = {
        name: getattr(args, name)
        for name in settings_of(PyNeRFConfig)
        if getattr(args, name, None) is not None
    }
    for assignment in args.set:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: write NAME=VALUE")
        if name in settings_of(PyNeRFConfig) and settings_of(PyNeRFConfig)[name].of_scene:
            raise ConfigError(f"--set {assignment}: {name} cannot be set so; the scene gives it")
        if getattr(args, name, None) is not None:
            raise ConfigError(f"--set {assignment}: --{name} is given too; leave one out")
        settings[name] = value_of(value)
    return settings
