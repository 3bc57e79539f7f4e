"""The server of the page: its address, its link, and its clients coming and going."""

from __future__ import annotations

import contextlib
import errno
import io
import ipaddress
import secrets
import socket
import sys
import time
import warnings
from collections import deque
from typing import Any

from taichi_pynerf.errors import DisplayError
from taichi_pynerf.extras import optional
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.web.gate import Gate
from taichi_pynerf.viewer.web.messages import make_thread_safe

HOST, PORT = "127.0.0.1", 7007
PORTS_TRIED = 20
ALONE_SECONDS = 10.0  # time without clients before closing, s; reloading a page takes a moment


class WebServer:
    """Serves the page until it is closed, and notes arrivals and departures for the drawing thread.

    Args:
        title: title of the page.
        host, port: address to listen at; if the port is taken, the next free one. 0 is any port.

    Attributes:
        link: the link to open.
        arrivals, departures: handles of clients that came and left, to be taken from the left.
        close_when_alone: close automatically when no client is left.

    Raises:
        MissingPackageError: viser is not installed.
        DisplayError: the host or the port cannot be had.
    """

    how_to_close = "close the page, or press Ctrl-C,"

    def __init__(self, title: str, host: str = HOST, port: int = PORT):
        viser: Any = optional("viser", "web")
        token = None if is_local(host) else secrets.token_urlsafe(16)
        self.gate = Gate(token, host)
        self.arrivals: deque[Any] = deque()
        self.departures: deque[Any] = deque()
        self.close_when_alone = False
        self._present: set[int] = set()
        self._alone_since = time.monotonic()
        self._open = True
        free = free_port(host, port)
        warnings.filterwarnings("ignore", message="Queued a .* on a closed connection")

        known = make_thread_safe()
        with self.gate.in_front(), contextlib.redirect_stdout(io.StringIO()):  # viser's banner
            self.viser = viser.ViserServer(host=host, port=free, label=title, verbose=False)
        # Any client could ask for a tunnel to the servers of viser's makers.
        self.viser.request_share_url = lambda *_: None
        if not (known and self.gate.installed):
            self.viser.stop()
            raise DisplayError(
                f"viser {viser.__version__} starts its server in a way that is not known here: "
                'pip install "taichi-pynerf[web]"'
            )
        self.port = self.viser.get_port()
        if port not in (0, self.port):
            print(f"port {port} is taken; using {self.port}")
        name = socket.gethostname() if _is_any(host) else host
        name = f"[{name}]" if ":" in name else name
        self.link = f"http://{name}:{self.port}/" + (f"{token}/" if token else "")
        self.viser.gui.configure_theme(show_share_button=False, show_logo=False)
        self.viser.gui.main_panel.dock_right()
        self.viser.on_client_connect(self._came)
        self.viser.on_client_disconnect(self._went)

    def start_at(self, camera: ViewCamera) -> None:
        """Let new clients look from a camera, with its axis of orbits upwards."""
        self.viser.scene.set_up_direction(tuple(camera.world_up.tolist()))
        start = self.viser.initial_camera
        start.position, start.look_at = camera.position, camera.target
        start.up, start.fov = camera.world_up, camera.fov_y

    def announce(self) -> None:
        """Print the link, and a warning if others can reach it."""
        print(f"in the browser: {self.link}", flush=True)
        if self.gate.token is not None:
            print(
                f"warning: {self.gate.host} is not this machine alone: whoever has the link sees "
                "and steers this viewer, and the connection is not encrypted; an ssh tunnel to "
                f"{HOST} is safer (docs/viewer.md)",
                file=sys.stderr,
            )

    @property
    def open(self) -> bool:
        alone = time.monotonic() - self._alone_since if not self._present else 0.0
        if self.close_when_alone and alone > ALONE_SECONDS:
            self.close()
        return self._open

    @property
    def hidden(self) -> bool:
        """Whether nobody looks."""
        return not (self._present or self.arrivals or self.departures)

    def close(self) -> None:
        """Stop serving; may be called again."""
        if self._open:
            self._open = False
            with contextlib.redirect_stdout(io.StringIO()):
                self.viser.stop()

    async def _came(self, client: Any) -> None:
        self._present.add(client.client_id)
        self.arrivals.append(client)

    async def _went(self, client: Any) -> None:
        self._present.discard(client.client_id)
        self._alone_since = time.monotonic()
        self.departures.append(client)


def is_local(host: str) -> bool:
    """Whether only programs of this machine can reach a server that listens at `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def free_port(host: str, port: int) -> int:
    """The first port from `port` on that can be listened at.

    Raises:
        DisplayError: the host is not this machine's, the port is not allowed, or all are taken.
    """
    if not 0 <= port < 2**16:
        raise DisplayError(f"--port is {port}: give 1 to 65535, or 0 for any that is free")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise DisplayError(
            f"--host {host}: {getattr(error, 'strerror', None) or error}; {HOST} is this machine, "
            "0.0.0.0 all its addresses"
        ) from None
    last = min(port + PORTS_TRIED, 2**16 - 1) if port else 0
    for tried in range(port, last + 1):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if sys.platform != "win32":  # as asyncio does: a port just left is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address[0], tried, *address[2:]))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise DisplayError(
                    f"cannot listen at {host}:{tried}: {error.strerror}; choose others with --host "
                    "and --port"
                ) from None
        return tried
    raise DisplayError(f"ports {port} to {last} of {host} are all taken: choose another by --port")


def _is_any(host: str) -> bool:
    """Whether a host stands for all addresses of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
