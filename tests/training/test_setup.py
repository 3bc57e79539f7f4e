import dataclasses
import signal
from types import SimpleNamespace

import pytest
from tiny import ball_scene

from taichi_pynerf.config import UNLIMITED_STEPS
from taichi_pynerf.data.datasets import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.training.setup import (
    DEMO_STEPS,
    check_settings,
    fitted_preset,
    stop_on_interrupt,
    with_limit,
)


@pytest.mark.parametrize("preset", ["default", "cpu", "gpu"])
@pytest.mark.parametrize("unbounded", [False, True])
def test_cells_per_footprint_of_one_scale_and_of_several(preset, unbounded):
    scene = dataclasses.replace(ball_scene(), unbounded=unbounded)
    one = PyNeRFDataset.from_scene(scene)
    several = MultiScaleDataset.from_scene(scene, scales=[1, 2])
    cells = [fitted_preset(preset, dataset).cells_per_footprint for dataset in (one, several)]
    expected = {"cpu": [1.0, 1.4] if unbounded else [2.0, 2.0]}
    assert cells == expected.get(preset, [1.0, 1.0])
    assert fitted_preset(preset, several, cells_per_footprint=1.5).cells_per_footprint == 1.5


@pytest.mark.parametrize("is_demo", [False, True])
def test_seconds_alone_are_the_only_limit(is_demo):
    steps = {"max_steps": DEMO_STEPS} if is_demo else {}
    assert with_limit({}, is_demo) == steps
    assert with_limit({"max_seconds": 0.0, "seed": 3}, is_demo) == {
        **steps, "max_seconds": 0.0, "seed": 3,
    }  # fmt: skip
    seconds = {"max_seconds": 10800.0}
    assert with_limit(seconds, is_demo) == {**seconds, "max_steps": UNLIMITED_STEPS}
    both = {**seconds, "max_steps": 7}
    assert with_limit(both, is_demo) == both


def test_settings_that_do_not_fit_an_unbounded_scene_are_known_before_its_images():
    check_settings("cpu", occupancy_resolution=50)
    with pytest.raises(ConfigError, match="multiple of 4"):
        check_settings("cpu", of_unbounded=True, occupancy_resolution=50)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_terminal_that_closes_may_say_so_twice():
    trainer = SimpleNamespace(asked=0)
    trainer.request_stop = lambda: setattr(trainer, "asked", trainer.asked + 1)
    usual = {signal.SIGHUP: signal.SIG_DFL, signal.SIGTERM: signal.SIG_DFL,
             signal.SIGINT: signal.default_int_handler}  # fmt: skip
    own = {number: signal.signal(number, handler) for number, handler in usual.items()}
    try:
        with stop_on_interrupt(trainer):
            for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
                signal.raise_signal(number)
            with pytest.raises(KeyboardInterrupt):  # only a Ctrl-C after that stops at once
                signal.raise_signal(signal.SIGINT)
        assert trainer.asked == 3
        assert {number: signal.getsignal(number) for number in usual} == usual
    finally:
        for number, handler in own.items():
            signal.signal(number, handler)
