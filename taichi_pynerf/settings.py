"""Settings whose meaning and allowed values are stated once, beside their default.

A field made by `whole`, `number`, `flag` or `choice` carries a `Setting` in its metadata. The
checks, the flags of the programs, `help()` and docs/settings.md all read it there.
"""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taichi_pynerf.errors import ConfigError

_KEY = "setting"
_NUMBERS = (int, float)


@dataclass(frozen=True)
class Setting:
    """The facts about a setting besides its name, type and default.

    Attributes:
        group: heading under which it is listed.
        meaning: a noun phrase with its unit.
        wanted: the allowed values, in words that follow "it must be".
        holds: tells whether a value is allowed.
        choices: the allowed values, if they are few.
        of_scene: the scene gives the value, not the user.
    """

    group: str
    meaning: str
    wanted: str
    holds: Callable[[Any], bool]
    choices: tuple[object, ...] = ()
    of_scene: bool = False


@dataclass(frozen=True)
class Group:
    """Makes the settings under one heading. Every `default` is checked when a config is made."""

    name: str

    def whole(
        self,
        default: int | str,
        meaning: str,
        at_least: int = 0,
        at_most: int | None = None,
        *,
        power_of_two: bool = False,
        or_text: str | None = None,
    ) -> Any:
        """A whole number; `or_text` is a word that is allowed in its place."""
        kind = "a power of two" if power_of_two else "a whole number"
        wanted = f"{kind} {_range(at_least, at_most)}"
        if or_text is not None:
            wanted = f'"{or_text}" or {wanted}'

        def holds(value: Any) -> bool:
            if or_text is not None and value == or_text:
                return True
            return (
                _is_number(value, int)
                and at_least <= value
                and (at_most is None or value <= at_most)
                and (not power_of_two or value & (value - 1) == 0)
            )

        return self.of(default, meaning, wanted, holds)

    def number(
        self,
        default: float,
        meaning: str,
        at_least: float = 0.0,
        *,
        above: float | None = None,
        at_most: float | None = None,
        below: float | None = None,
    ) -> Any:
        """A finite number; `above` replaces `at_least` and is itself excluded."""
        low = f"above {above:g}" if above is not None else f"from {at_least:g}"
        high = "" if at_most is None else f" to {at_most:g}"
        high = high if below is None else f", below {below:g}"
        wanted = f"a number {low}{high}" + (" on" if not high and above is None else "")

        def holds(value: Any) -> bool:
            return (
                _is_number(value, _NUMBERS)
                and (value > above if above is not None else value >= at_least)
                and (at_most is None or value <= at_most)
                and (below is None or value < below)
            )

        return self.of(default, meaning, wanted, holds)

    def flag(self, default: bool, meaning: str, *, of_scene: bool = False) -> Any:
        """True or False."""

        def holds(value: object) -> bool:
            return isinstance(value, bool)

        return self.of(default, meaning, "True or False", holds, (True, False), of_scene=of_scene)

    def choice(self, default: str, meaning: str, *choices: str) -> Any:
        """One of a few words."""
        wanted = f"one of {', '.join(choices)}"
        return self.of(default, meaning, wanted, lambda value: value in choices, choices)

    def of(
        self,
        default: object,
        meaning: str,
        wanted: str,
        holds: Callable[[Any], bool],
        choices: tuple[object, ...] = (),
        *,
        of_scene: bool = False,
    ) -> Any:
        """Any other setting."""
        setting = Setting(self.name, meaning, wanted, holds, choices, of_scene)
        return dataclasses.field(default=default, metadata={_KEY: setting})


def settings_of(config: Any) -> dict[str, Setting]:
    """{name: setting} of a config or its class, in the order in which they are declared."""
    return {field.name: field.metadata[_KEY] for field in dataclasses.fields(config)}


def check(config: Any) -> None:
    """Check each value of a config against its setting.

    Raises:
        ConfigError: for the first value that is not allowed, by name.
    """
    for name, setting in settings_of(config).items():
        value = getattr(config, name)
        if not setting.holds(value):
            raise ConfigError(f"{name} is {value!r}: it must be {setting.wanted}")


def value_of(text: str) -> Any:
    """The value of a text on a command line: a number, True or False, a list, or text."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except (ValueError, RecursionError):
        return text


def with_attributes(config: type) -> type:
    """Decorator that adds the meanings of its settings to the docstring of a config."""
    lines = [config.__doc__ or "", "    Attributes:"]
    for field in dataclasses.fields(config):
        setting = field.metadata[_KEY]
        lines.append(f"        {field.name}: {setting.meaning}; {setting.wanted}.")
    config.__doc__ = "\n".join([*lines, "    "])
    return config


def is_numbers(values: object, count: int) -> bool:
    """Whether a value is a tuple or list of so many finite numbers."""
    return (
        isinstance(values, (tuple, list))
        and len(values) == count
        and all(_is_number(value, _NUMBERS) for value in values)
    )


def _range(at_least: int, at_most: int | None) -> str:
    if at_most is None:
        return f"from {at_least} on"
    if at_most > 2**16 and at_most & (at_most - 1) == 0:
        return f"from {at_least} to 2**{at_most.bit_length() - 1}"
    return f"from {at_least} to {at_most}"


def _is_number(value: Any, types: type[int] | tuple[type[int], type[float]]) -> bool:
    """Whether a value has one of the types, is not a bool, and is finite as a float."""
    if not isinstance(value, types) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False
