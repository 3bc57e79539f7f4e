"""Shared parts of the command-line programs: parsing of flags, and reporting of errors."""

import argparse
import errno
import io
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from taichi_pynerf.errors import Notice, UserError

EXIT_USER_ERROR = 2
OUT_OF_MEMORY = (
    "there is not enough memory: end other programs, reduce the images (--img_downscale 2), or "
    "train with smaller tables (--hash_table_size) or fewer samples at once (--samples_per_batch)"
)
# Parts of what torch, Taichi and the system say, in small letters.
_NO_MEMORY = (
    "can't allocate memory", "cannot allocate memory", "virtual memory allocation",
    "out of memory", "bad alloc", "bad_alloc", "can't start new thread",
)  # fmt: skip

# The command of each program in an installation, and its file in a checkout.
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
    """The command that starts a program, in the form in which the running one was started.

    Args:
        program: a name of `PROGRAMS`.

    Returns:
        In a checkout `python apps/train.py`, with the checkout's path unless it is the current
        folder; otherwise the installed command, `pynerf-train`.
    """
    file = Path(PROGRAMS[program])
    started = Path(sys.argv[0])
    checkout = started.parent.parent
    if (
        f"{started.parent.name}/{started.name}" in PROGRAMS.values()
        and not (checkout / "__init__.py").exists()  # the package has a folder "apps" too
    ):
        return f"python {word(checkout / file)}"
    return f"pynerf-{program}"


def word(path: str | Path) -> str:
    """A path as one word of a command, for the usual shell of the system."""
    text = str(path)
    return subprocess.list2cmdline([text]) if sys.platform == "win32" else shlex.quote(text)


def in_commands_of_the_user(text: str) -> str:
    """A text with the files of programs replaced by their `command`."""
    of_file = {file: name for name, file in PROGRAMS.items()}
    pattern = "|".join(map(re.escape, of_file))
    return re.sub(rf"(?:python )?({pattern})", lambda found: command(of_file[found[1]]), text)


class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are any, and keeps the line breaks of the description."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in a single line."""

    def __init__(self, description: str):
        super().__init__(
            description=in_commands_of_the_user(description),
            formatter_class=Formatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USER_ERROR, f"error: {message}; {self.prog} --help lists the flags\n")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of Python, the system or torch says that there is no memory left."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


def one_line(text: str) -> str:
    """A text with line breaks and other signs that cannot be printed as escapes.

    Names of files hold any sign, and a scene from elsewhere may have some that command a terminal.
    """
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def run(main: Callable[[list[str]], None]) -> None:
    """Run a program; an error that the user can mend ends it with one line and status 2.

    The project's warnings are one line each, without a place in the code. Programs named in a
    message are named by their `command`. What a terminal cannot show is written as an escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a language without the letters of a path
            stream.reconfigure(errors="backslashreplace")
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **named: Any) -> None:
        if issubclass(category, Notice):
            print(f"warning: {one_line(str(message))}", file=sys.stderr)
        else:
            show_others(message, category, *place, **named)

    warnings.showwarning = show
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(f"error: {one_line(in_commands_of_the_user(str(error)))}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except (MemoryError, RuntimeError, OSError) as error:
        if is_out_of_memory(error):
            text = OUT_OF_MEMORY
        elif isinstance(error, OSError):  # an unwritable folder, a full disk
            text = f"{error.filename or 'file system'}: {error.strerror or error}"
        else:
            raise
        print(f"error: {one_line(text)}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
