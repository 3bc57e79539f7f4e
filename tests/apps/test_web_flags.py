"""--web, --host and --port: what cannot work is one line, before anything takes its time."""

import sys

import pytest

from taichi_pynerf.apps import train, view
from taichi_pynerf.errors import ConfigError, DisplayError, MissingPackageError

PROGRAMS = {
    "train": lambda *flags: train.main(list(flags)),
    "view": lambda *flags: view.main(["--checkpoint", "no/such/run", *flags]),
}


@pytest.fixture(params=PROGRAMS)
def start(request):
    return PROGRAMS[request.param]


@pytest.mark.parametrize("flag", [("--host", "127.0.0.1"), ("--port", "7007")])
def test_host_and_port_need_web(start, flag):
    with pytest.raises(ConfigError, match=f"{flag[0]} needs --web"):
        start(*flag)


@pytest.mark.parametrize("name", ["width", "height"])
def test_the_window_s_size_is_not_the_page_s(name):
    with pytest.raises(ConfigError, match=f"--{name} is of the window"):
        view.main(["--checkpoint", "no/such/run", "--web", f"--{name}", "800"])
    with pytest.raises(ConfigError, match=f"--{name} is 63: give 64 to 8192"):
        view.main(["--checkpoint", "no/such/run", f"--{name}", "63"])


def test_a_missing_viser_is_said_first(start, monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(MissingPackageError, match=r"taichi-pynerf\[web\]") as caught:
        start("--web")
    assert "\n" not in str(caught.value)


def test_a_host_or_a_port_that_cannot_be_is_said_first(start):
    pytest.importorskip("viser", reason="viser is not installed")
    with pytest.raises(DisplayError, match="--port is 70000"):
        start("--web", "--port", "70000")
    with pytest.raises(DisplayError, match="--host no such host"):
        start("--web", "--host", "no such host")


def test_one_screen_at_a_time():
    with pytest.raises(ConfigError, match="choose one"):
        train.main(["--gui", "--web"])


def test_several_processes_have_no_page(monkeypatch):
    monkeypatch.setattr(train, "launched_by_torchrun", lambda: True)
    with pytest.raises(ConfigError, match="--web works in a single process"):
        train.main(["--web"])
