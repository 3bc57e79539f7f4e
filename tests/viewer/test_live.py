"""A watched training: it equals one that is not watched, and shares the time."""

import time

import pytest
import torch
from fake_screen import FakeScreen
from tiny import ball_scene, tiny_config, training_tensors

from taichi_pynerf.data.datasets import MultiScaleDataset
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.viewer.controls import InputFrame
from taichi_pynerf.viewer.live import LiveTraining, view_until_closed
from taichi_pynerf.viewer.settings import Mode
from taichi_pynerf.viewer.viewer import Viewer

SIZE = (632, 100)


def new_trainer(max_steps=40):
    config = tiny_config(max_steps=max_steps, seed=3, render_step=0.5, cull_hidden=1e-3)
    dataset = MultiScaleDataset.from_scene(ball_scene(), scales=[1, 2])
    return MultiScaleTrainer(PyNeRF(config), config, dataset, progress=False)


def watched(trainer, *frames):
    viewer = Viewer(trainer.model, trainer.train_dataset)
    screen = FakeScreen(frames, size=SIZE)
    return LiveTraining(viewer, screen, trainer), viewer, screen


def press(*keys):
    return InputFrame(pressed=keys, size=SIZE, cursor=(1.0, 1.0))


def test_a_watched_training_gives_the_same_model_to_the_bit():
    plain = new_trainer()
    plain.train()
    trainer = new_trainer()
    moves = [
        InputFrame(("LMB",), frozenset(["LMB"]), (300.0, 50.0), SIZE),
        *(InputFrame((), frozenset(["LMB"]), (300.0 + 9 * i, 50.0), SIZE) for i in range(8)),
        press("m"), press("m"), press("m"), press("w"), press(" "), press("5"), press(" "),
    ]  # fmt: skip
    live, viewer, screen = watched(trainer, *moves)
    viewer.share.share = 0.2
    trainer.train(on_step=live)
    assert viewer.renderer.num_rays > 1000
    assert not screen.frames
    assert viewer.settings.mode is Mode.NORMALS
    want, got = training_tensors(plain), training_tensors(trainer)
    assert want.keys() == got.keys()
    assert [name for name in want if not torch.equal(want[name], got[name])] == []


@pytest.mark.parametrize("asked", [0.3, 0.7])
def test_each_side_gets_the_share_that_is_asked(asked):
    trainer = new_trainer(max_steps=10**6)
    live, viewer, _ = watched(trainer)
    viewer.share.share = asked
    viewer.renderer.budget.frame_seconds = 0.01

    spent = {"train": 0.0, "draw": 0.0}
    left = time.perf_counter()

    def on_step(trainer, figures):
        nonlocal left
        entered = time.perf_counter()
        live(trainer, figures)
        if trainer.step > 40:  # kernels are compiled, rates are known
            spent["train"] += entered - left
            spent["draw"] += time.perf_counter() - entered
        left = time.perf_counter()
        if sum(spent.values()) > 1.5:
            trainer.request_stop()

    trainer.train(on_step=on_step)
    assert spent["train"] / sum(spent.values()) == pytest.approx(asked, rel=0.2)


@pytest.mark.parametrize("why", ["hidden", "not drawing", "closed"])
def test_training_has_all_the_time_when_nothing_is_drawn(why):
    trainer = new_trainer(max_steps=10**6)
    live, viewer, screen = watched(trainer)
    screen.hidden = why == "hidden"
    screen.open = why != "closed"
    viewer.settings.drawing = why != "not drawing"
    inside = 0.0

    def on_step(trainer, figures):
        nonlocal inside
        entered = time.perf_counter()
        live(trainer, figures)
        inside += time.perf_counter() - entered
        if trainer.train_seconds > 0.5:
            trainer.request_stop()

    trainer.train(on_step=on_step)
    assert viewer.renderer.num_rays == 0
    assert inside < 0.1 * trainer.train_seconds
    assert (screen.num_polled > 0) == (why != "closed")


def test_a_pause_holds_the_training_until_it_is_over():
    trainer = new_trainer(max_steps=6)
    seen = []

    def look(screen):
        seen.append(trainer.step)

    live, viewer, _ = watched(trainer, press(" "), *[look] * 5, press(" "))
    viewer.share.share = 0.05
    trainer.train(on_step=live)
    assert len(set(seen)) == 1
    assert seen[0] < 6
    assert trainer.step == 6
    assert viewer.figures.step == 6


def test_closing_the_window_in_a_pause_lets_the_training_go_on():
    trainer = new_trainer(max_steps=6)
    live, viewer, screen = watched(trainer, press(" "), press("Escape"))
    viewer.share.share = 0.05
    trainer.train(on_step=live)
    assert not screen.open
    assert trainer.step == 6


def test_after_the_training_the_window_stays_until_it_is_closed(capsys):
    trainer = new_trainer(max_steps=2)
    live, viewer, screen = watched(trainer)
    trainer.train(on_step=live)
    screen.frames.extend([press()] * 3 + [press("Escape")])
    live.finish()
    assert not screen.open
    assert not screen.frames
    assert viewer.figures.finished
    assert "close the window" in capsys.readouterr().out


def test_a_stopped_training_closes_its_window():
    trainer = new_trainer(max_steps=4)
    live, _, screen = watched(trainer)
    trainer.request_stop()
    trainer.train(on_step=live)
    live.finish()
    assert not screen.open


def test_ctrl_c_closes_the_window():
    trainer = new_trainer()

    def interrupt(screen):
        raise KeyboardInterrupt

    screen = FakeScreen([press(), interrupt], size=SIZE)
    view_until_closed(Viewer(trainer.model, trainer.train_dataset), screen)
    assert not screen.open


def test_a_window_that_was_closed_by_hand_is_put_away_too():
    trainer = new_trainer()

    def click_away(screen):
        screen.open = False

    screen = FakeScreen([press(), click_away], size=SIZE)
    closed = []
    screen.close = lambda: closed.append(screen.open)
    view_until_closed(Viewer(trainer.model, trainer.train_dataset), screen)
    assert closed == [False]
