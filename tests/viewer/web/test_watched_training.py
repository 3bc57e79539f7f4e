"""A training that pages watch: the same model, pauses, and its end."""

import threading
import time
from functools import partial

import pytest
import torch
from tiny import training_tensors
from web_pages import EYE, TARGET, new_trainer, page, thread_of, until

from taichi_pynerf.viewer.settings import Mode
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.audience import Audience
from taichi_pynerf.viewer.web.server import WebServer
from taichi_pynerf.viewer.web.training import WebTraining

pytest.importorskip("viser", reason="viser is not installed")


def watched(trainer, tmp_path):
    make = partial(Viewer, trainer.model, trainer.train_dataset, tmp_path, trainer.save)
    audience = Audience(make, WebServer("test", port=0))
    return WebTraining(audience, audience.server, trainer), audience


def test_a_training_watched_by_two_pages_gives_the_same_model_to_the_bit(tmp_path):
    plain = new_trainer()
    plain.train()
    trainer = new_trainer()
    live, audience = watched(trainer, tmp_path)
    audience.share.share = 0.2
    done, shown = threading.Event(), set()

    def look_on():
        with page(audience) as one, page(audience, (50, 40)) as two:
            modes = [mode.value for mode in Mode]
            step = 0
            while not done.wait(0.01):
                step += 1
                one.look((0.1 * (step % 30), -2.2, 0.4), TARGET)
                two.look((2.2, 0.1 * (step % 20), 0.4), TARGET)
                if "mode" in two.widgets and step % 10 == 0:
                    two.set("mode", modes[step // 10 % len(modes)])
                shown.update(c.viewer.settings.mode for c in list(audience.clients.values()))

    hands, faults = thread_of(look_on)
    try:
        until(audience, lambda: len(audience.clients) == 2, "both pages")
        trainer.train(on_step=live)
        drawn = sum(client.viewer.renderer.num_rays for client in audience.clients.values())
    finally:
        done.set()
        hands.join()
        audience.server.close()
    assert faults == []
    assert len(shown) > 1
    assert drawn > 1000
    want, got = training_tensors(plain), training_tensors(trainer)
    assert want.keys() == got.keys()
    assert [name for name in want if not torch.equal(want[name], got[name])] == []


def test_a_pause_lasts_until_it_is_ended_or_nobody_is_left(tmp_path):
    trainer = new_trainer(max_steps=10**6, output_dir=tmp_path)
    live, audience = watched(trainer, tmp_path)
    seen = {}

    def hands():
        with page(audience) as one:
            one.look(EYE, TARGET)
            one.set("pause", True)
            one.wait(lambda: audience.paused, "the pause")
            time.sleep(0.2)
            seen["paused"] = trainer.step
            time.sleep(0.2)
            seen["still"] = trainer.step
            one.set("pause", False)
            one.wait(lambda: trainer.step > seen["still"] + 2, "the going on")
            one.set("share", 0.8)
            one.wait(lambda: audience.share.share == 0.8, "the share")
            one.set("Save checkpoint", True)
            one.wait((tmp_path / "checkpoint.pth").exists, "the checkpoint")
            one.set("pause", True)
            one.wait(lambda: audience.paused, "the second pause")
            seen["left"] = trainer.step
        end = time.monotonic() + 20
        while trainer.step <= seen["left"] + 2 and time.monotonic() < end:
            time.sleep(0.01)
        seen["after"] = trainer.step

    thread, faults = thread_of(hands, trainer.request_stop)
    try:
        trainer.train(on_step=live)
    finally:
        thread.join()
        live.finish()
    assert faults == []
    assert seen["still"] == seen["paused"]
    assert seen["after"] > seen["left"] + 2
    assert not audience.server.open


def test_with_nobody_there_training_ends_by_itself(tmp_path, capsys):
    trainer = new_trainer(max_steps=30)
    live, audience = watched(trainer, tmp_path)
    audience.server._alone_since = float("-inf")  # the wait for a page that is loaded anew
    trainer.train(on_step=live)
    live.finish()
    assert not audience.server.open
    assert "close the page" in capsys.readouterr().out
