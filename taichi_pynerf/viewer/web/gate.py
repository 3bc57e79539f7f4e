"""Access to the page, and the handling of invalid messages.

viser's server admits anyone who reaches its port, and a message that it cannot read ends in a
traceback. This gate goes in front of it, through the options of the server that viser starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from taichi_pynerf.extras import optional

MOST_CLIENTS = 16  # greatest number of connections
MOST_BYTES = 2**20  # greatest message from a browser, bytes; pictures go the other way
SEND_BUFFER = 2**18  # bytes under way to a client: a slow client skips pictures
_QUIET_SECONDS = 1.0  # least time between two lines about invalid messages, s

_SILENT = logging.getLogger("taichi_pynerf.viewer.web")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Gate:
    """Decides on requests by their path and headers.

    With a token, every path must begin with it. Without one, the port is open to programs of this
    machine. A browser among them may show a stranger's page, so requests must name this machine
    and come from a page of this server.

    Args:
        token: the first part of all paths, or None.
        host: the name that the server listens at.
    """

    def __init__(self, token: str | None, host: str):
        self.token, self.host = token, host
        self.num_connected = 0
        self.installed = False
        self._noted_at = float("-inf")

    def path_within(self, path: str) -> str | None:
        """The path without the token; None if it does not begin with it."""
        if self.token is None:
            return path
        first, slash, rest = path.partition("?")[0].lstrip("/").partition("/")
        if not hmac.compare_digest(first.encode(), self.token.encode()):
            return None
        query = path.partition("?")[2]
        return f"/{rest if slash else ''}" + (f"?{query}" if query else "")

    def refusal(self, path: str, headers: Mapping[str, str]) -> str | None:
        """The reason to refuse a request, as a line for the client; None if it is accepted."""
        if self.path_within(path) is None:
            return "open the link that the program printed: it ends in a token"
        if self.token is None:
            asked = headers.get("Host", "")
            if not self._is_here(asked):
                return f"this server is not {asked}: open the link that the program printed"
            origin = headers.get("Origin")
            if origin is not None and urlsplit(origin).netloc.lower() != asked.lower():
                return f"a page of {origin} may not connect here"
        if headers.get("Upgrade", "").lower() == "websocket" and self.num_connected >= MOST_CLIENTS:
            return f"{MOST_CLIENTS} pages look at this model already"
        return None

    @contextlib.contextmanager
    def in_front(self) -> Iterator[None]:
        """While this lasts, a server of websockets that is started gets this gate."""
        server: Any = optional("websockets.asyncio.server", "web")
        start = server.serve

        def serve(handler: Callable[[Any], Awaitable[None]], *place: Any, **options: Any) -> Any:
            self.installed = True
            options |= {
                "process_request": self._asked(options.get("process_request")),
                "max_size": MOST_BYTES,
                "logger": _SILENT,
            }
            return start(self._calmly(handler), *place, **options)

        server.serve = serve
        try:
            yield
        finally:
            server.serve = start

    def note(self, what: object) -> None:
        """Report in one line, and not too often, that a client sent an invalid message."""
        now = time.monotonic()
        if now - self._noted_at >= _QUIET_SECONDS:
            self._noted_at = now
            print(f"web: a client sent what cannot be used ({what})", file=sys.stderr)

    def _is_here(self, asked: str) -> bool:
        """Whether the header Host names this server: an address, localhost, or as it was told."""
        try:
            name = urlsplit(f"//{asked}").hostname or ""
        except ValueError:
            return False
        if name == "localhost" or name.endswith(".localhost") or name == self.host.lower():
            return True
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        return False

    def _asked(self, answer: Callable[[Any, Any], Any] | None) -> Callable[[Any, Any], Any]:
        """`process_request` of a server: refuse, or go on with the path without the token."""

        def process(connection: Any, request: Any) -> Any:
            reason = self.refusal(request.path, request.headers)
            if reason is not None:
                return connection.respond(403, reason + "\n")
            request.path = self.path_within(request.path)
            return None if answer is None else answer(connection, request)

        return process

    def _calmly(self, handler: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable]:
        """A handler of connections that ends only those that send invalid messages."""

        def failed_later(_: object, context: dict) -> None:
            self.note(_said(context.get("exception") or context.get("message")))

        async def handle(connection: Any) -> None:
            asyncio.get_running_loop().set_exception_handler(failed_later)
            pipe = connection.transport.get_extra_info("socket")
            if pipe is not None:
                pipe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self.num_connected += 1
            try:
                await handler(connection)
            except Exception as error:  # of any kind: it depends on what was sent
                self.note(_said(error))
                await connection.close(1007, "what this page sent cannot be used")
            finally:
                self.num_connected -= 1

        return handle


def _said(error: object) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())[:120]
    return f"{type(error).__name__}: {text}" if isinstance(error, BaseException) else text
