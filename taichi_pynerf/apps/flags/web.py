"""The flags of command-line programs that show a model in the browser."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable

from taichi_pynerf.errors import ConfigError, SceneError
from taichi_pynerf.extras import optional
from taichi_pynerf.runs.scene_source import SceneSource
from taichi_pynerf.viewer.live import view_until_closed
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.audience import Audience
from taichi_pynerf.viewer.web.server import HOST, PORT, WebServer, free_port


def add_web_flags(group: argparse.ArgumentParser | argparse._ArgumentGroup, says: str) -> None:
    """Add --web, --host and --port; `says` is the help of the first."""
    group.add_argument("--web", action="store_true", help=f"{says} (docs/viewer.md)")
    group.add_argument(
        "--host", help=f"with --web: where to listen ({HOST}, which is this machine alone)"
    )
    group.add_argument("--port", type=int, help=f"with --web: the port ({PORT}, or the next free)")


def check_web_flags(args: argparse.Namespace) -> None:
    """Refuse what cannot work, before anything else takes its time.

    Raises:
        ConfigError: --host or --port without --web.
        MissingPackageError: viser is not installed.
        DisplayError: the host or the port cannot be had.
    """
    if not args.web:
        for name in ("host", "port"):
            if getattr(args, name) is not None:
                raise ConfigError(f"--{name} needs --web")
        return
    optional("viser", "web")
    free_port(*_place(args))


def audience_of(
    args: argparse.Namespace,
    title: str,
    make_viewer: Callable[[], Viewer],
    source: SceneSource | None,
) -> Audience:
    """Start the server of a page with this title, for a viewer for each who opens it."""
    points = None
    if source is not None:
        with contextlib.suppress(SceneError):  # the caller has said what is wrong with the scene
            points = source.points()
    audience = Audience(make_viewer, WebServer(title, *_place(args)), points)
    audience.server.announce()
    return audience


def view_in_browser(audience: Audience) -> None:
    """Serve until Ctrl-C."""
    view_until_closed(audience, audience.server)


def _place(args: argparse.Namespace) -> tuple[str, int]:
    """Host and port."""
    return args.host or HOST, PORT if args.port is None else args.port
