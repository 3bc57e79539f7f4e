"""Messages from other threads than the server's, while its senders begin to wait."""

import asyncio
import importlib
import threading

import pytest

from taichi_pynerf.viewer.web.messages import LoopEvent, make_thread_safe
from taichi_pynerf.viewer.web.server import WebServer

viser = pytest.importorskip("viser", reason="viser is not installed")


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class Newcomer:
    """One who waits, and whom another joins at the moment in which he is woken."""

    def __init__(self, waiters):
        self.waiters = waiters

    def done(self):
        self.waiters.append(self)
        return True


def test_another_thread_does_not_touch_those_who_wait(loop):
    """asyncio's own event fails here as it did in a training, after some 1,400 events of a soak."""
    for event in (asyncio.Event(), LoopEvent(loop)):
        event._waiters.extend([Newcomer(event._waiters), Newcomer(event._waiters)])
        if type(event) is asyncio.Event:
            with pytest.raises(RuntimeError, match="mutated"):
                event.set()
        else:
            event.set()
            assert len(event._waiters) == 2
            assert not event.is_set()


def test_the_loop_wakes_those_who_wait(loop):
    event = LoopEvent(loop)
    woken = asyncio.run_coroutine_threadsafe(event.wait(), loop)
    event.set()
    assert not woken.done()
    loop.call_soon_threadsafe(event.set)
    assert woken.result(timeout=60)
    asyncio.run_coroutine_threadsafe(another_loop_sets(LoopEvent(loop)), loop).result(timeout=60)


async def another_loop_sets(event):
    def elsewhere():
        async def set_there():
            event.set()

        asyncio.run(set_there())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert not event.is_set()
    event.set()
    assert event.is_set()


def test_all_buffers_of_the_server_are_of_this_kind():
    assert make_thread_safe()
    assert make_thread_safe()  # once is enough
    server = WebServer("title", port=0)
    try:
        event = server.viser._websock_server.get_message_buffer().message_event
        assert isinstance(event, LoopEvent)
        with importlib.import_module("benchmarks.page_client").PageClient(server.link) as page:
            server.viser.gui.add_markdown("from this thread")
            page.wait(lambda: "from this thread" in page.words(), "a message")
            page.look((0.0, -3.0, 1.0), (0.0, 0.0, 0.0))
            page.wait(server.viser.get_clients, "the client")
            (client,) = server.viser.get_clients().values()
            buffer = client._websock_connection.get_message_buffer()
            assert isinstance(buffer.message_event, LoopEvent)
    finally:
        server.close()
