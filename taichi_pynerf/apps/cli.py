"""What the command-line programs share: how they read flags and how errors reach the user."""

import argparse
import re
import shlex
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from taichi_pynerf.errors import Notice, UserError

EXIT_USER_ERROR = 2

# Each program: the command that an installation has, and its file in a checkout.
PROGRAMS = {
    "train": "apps/train.py",
    "render": "apps/render.py",
    "view": "apps/view.py",
    "export": "apps/export.py",
    "photos": "data_tools/photos_to_scene.py",
    "inspect": "data_tools/inspect_scene.py",
    "demo": "data_tools/make_demo_scene.py",
    "multiscale": "data_tools/make_multiscale.py",
}


def command(program: str) -> str:
    """What the user types to start a program: in a checkout, if the running one was started so.

    Args:
        program: a name of `PROGRAMS`.

    Returns:
        `python apps/train.py`, say, with the checkout's folder before it where that is not the
        present one; else the installed command, `pynerf-train`.
    """
    file = Path(PROGRAMS[program])
    started = Path(sys.argv[0])
    checkout = started.parent.parent
    if (
        f"{started.parent.name}/{started.name}" in PROGRAMS.values()
        and not (checkout / "__init__.py").exists()  # the package has a folder "apps" too
    ):
        return f"python {shlex.quote(str(checkout / file))}"
    return f"pynerf-{program}"


def in_commands_of_the_user(text: str) -> str:
    """A text that names programs by their files, in the words of `command`."""
    of_file = {file: name for name, file in PROGRAMS.items()}
    pattern = "|".join(map(re.escape, of_file))
    return re.sub(rf"(?:python )?({pattern})", lambda found: command(of_file[found[1]]), text)


class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, except where there is none to show, and keeps the description's lines."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in one line."""

    def __init__(self, description: str):
        super().__init__(
            description=in_commands_of_the_user(description),
            formatter_class=Formatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USER_ERROR, f"error: {message}; {self.prog} --help lists the flags\n")


def run(main: Callable[[list[str]], None]) -> None:
    """Run a program: a fault of the user's ends it with one line and status 2.

    Warnings of the project are a line each too, without the place in the code. Programs that a
    message names are named as the user started this one.
    """
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **named: Any) -> None:
        if issubclass(category, Notice):
            print(f"warning: {message}", file=sys.stderr)
        else:
            show_others(message, category, *place, **named)

    warnings.showwarning = show
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(f"error: {in_commands_of_the_user(str(error))}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except OSError as error:  # an unwritable folder, a full disk
        print(
            f"error: {error.filename or 'file system'}: {error.strerror or error}", file=sys.stderr
        )
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
