"""The address of the page: ports, hosts, tokens."""

import socket
import urllib.error
import urllib.request

import pytest

from taichi_pynerf.errors import DisplayError, MissingPackageError
from taichi_pynerf.viewer.web import server as web_server
from taichi_pynerf.viewer.web.server import WebServer, free_port, is_local


def taken_port():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    return taken, taken.getsockname()[1]


def test_only_loopback_is_local():
    assert all(map(is_local, ("127.0.0.1", "127.8.9.1", "localhost", "::1")))
    assert not any(map(is_local, ("0.0.0.0", "::", "10.0.0.1", "box.lan", "")))


def test_the_next_free_port_is_taken():
    taken, port = taken_port()
    with taken:
        assert port < free_port("127.0.0.1", port) <= port + web_server.PORTS_TRIED


def test_when_all_are_taken_a_line_says_so(monkeypatch):
    monkeypatch.setattr(web_server, "PORTS_TRIED", 0)
    taken, port = taken_port()
    with taken, pytest.raises(DisplayError, match=f"{port} .*--port"):
        free_port("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        ("127.0.0.1", 70000, "--port is 70000"),
        ("127.0.0.1", -1, "--port is -1"),
        ("no such host", 7007, "--host no such host"),
        ("192.0.2.1", 7007, "192.0.2.1"),  # a documentation's address: nobody's
    ],
)
def test_what_cannot_be_had_is_one_line(host, port, says):
    with pytest.raises(DisplayError, match=says) as caught:
        free_port(host, port)
    assert "\n" not in str(caught.value)


def test_without_viser_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "viser", None)
    with pytest.raises(MissingPackageError, match=r"taichi-pynerf\[web\]"):
        WebServer("title", port=0)


@pytest.fixture
def viser():
    return pytest.importorskip("viser", reason="viser is not installed")


def answer(link):
    try:
        with urllib.request.urlopen(link, timeout=10) as page:
            return page.status, page.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_link_opens_the_page_and_a_taken_port_is_said(viser, capsys):
    taken, port = taken_port()
    with taken:
        server = WebServer("a title", port=port)
    try:
        server.announce()
        printed = capsys.readouterr()
        assert f"port {port} is taken; using {server.port}" in printed.out
        assert server.link == f"http://127.0.0.1:{server.port}/"
        assert server.link in printed.out
        assert printed.err == ""
        status, page = answer(server.link)
        assert status == 200
        assert b"<html" in page.lower()
        assert server.open
        assert server.hidden
    finally:
        server.close()
    assert not server.open
    server.close()


def test_where_others_reach_it_the_link_has_a_token_and_a_warning(viser, capsys):
    server = WebServer("title", host="0.0.0.0", port=0)
    try:
        server.announce()
        printed = capsys.readouterr()
        assert "warning" in printed.err
        assert server.gate.token in server.link
        assert len(server.gate.token) >= 20
        here = f"http://127.0.0.1:{server.port}/"
        assert answer(here + server.gate.token + "/")[0] == 200
        status, says = answer(here)
        assert status == 403
        assert b"token" in says
    finally:
        server.close()
