"""Who may come in."""

import pytest

from taichi_pynerf.viewer.web.gate import MOST_CLIENTS, Gate

HERE = {"Host": "localhost:7007"}


def test_a_token_is_the_first_part_of_every_path():
    gate = Gate("abc", "0.0.0.0")
    assert gate.path_within("/abc/") == "/"
    assert gate.path_within("/abc") == "/"
    assert gate.path_within("/abc/file.js?x=1") == "/file.js?x=1"
    for path in ("/", "/ab/", "/abcd/", "/x/abc", "/?abc", "/ábc/", ""):
        assert gate.path_within(path) is None
        assert "token" in gate.refusal(path, {"Host": "any.org"})
    assert gate.refusal("/abc/", {"Host": "any.org"}) is None  # by whatever name, with the token


@pytest.mark.parametrize(
    "host", ["localhost:7007", "127.0.0.1:7007", "[::1]:7007", "10.1.2.3", "a.localhost", "box.lan"]
)
def test_without_a_token_this_machine_may_be_asked_by_name(host):
    assert Gate(None, "box.lan").refusal("/", {"Host": host}) is None


@pytest.mark.parametrize("host", ["evil.org", "localhost.evil.org", "evil.org:7007", "", "["])
def test_without_a_token_no_other_name_is_answered(host):
    reason = Gate(None, "127.0.0.1").refusal("/", {"Host": host})
    assert "open the link" in reason


def test_without_a_token_other_pages_may_not_connect():
    gate = Gate(None, "127.0.0.1")
    assert gate.refusal("/", {**HERE, "Origin": "http://localhost:7007"}) is None
    for origin in ("http://evil.org", "null", "http://localhost:8000"):
        assert "may not connect" in gate.refusal("/", {**HERE, "Origin": origin})


def test_there_is_room_for_so_many():
    gate = Gate(None, "127.0.0.1")
    gate.num_connected = MOST_CLIENTS
    assert gate.refusal("/", HERE) is None  # the page itself
    assert str(MOST_CLIENTS) in gate.refusal("/", {**HERE, "Upgrade": "websocket"})
    gate.num_connected -= 1
    assert gate.refusal("/", {**HERE, "Upgrade": "websocket"}) is None


def test_rubbish_is_one_line_and_not_one_each(capsys):
    gate = Gate(None, "127.0.0.1")
    for _ in range(50):
        gate.note("bytes that are\nno message")
    assert capsys.readouterr().err.count("\n") <= 2
