"""What the command-line programs share: how they read flags and how errors reach the user."""

import argparse
import sys
import warnings
from collections.abc import Callable

from taichi_pynerf.errors import SceneWarning, UserError

EXIT_USER_ERROR = 2


class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, except where there is none to show, and keeps the description's lines."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in one line."""

    def __init__(self, **kwargs):
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **kwargs)

    def error(self, message):
        self.exit(EXIT_USER_ERROR, f"error: {message}; {self.prog} --help lists the flags\n")


def run(main: Callable[[list[str]], None]) -> None:
    """Run a program: a fault of the user's ends it with one line and status 2.

    Warnings of the project are a line each too, without the place in the code.
    """
    show_others = warnings.showwarning

    def show(message, category, *place):
        if issubclass(category, SceneWarning):
            print(f"warning: {message}", file=sys.stderr)
        else:
            show_others(message, category, *place)

    warnings.showwarning = show
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except OSError as error:  # an unwritable folder, a full disk
        print(
            f"error: {error.filename or 'file system'}: {error.strerror or error}", file=sys.stderr
        )
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
