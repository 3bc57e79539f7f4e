"""What the tests of the page share: a training to look at, and hands that use pages.

The pages are `benchmarks.page_client`'s, which speak the protocol without a browser.
"""

import importlib
import threading
import time

from tiny import ball_scene, tiny_config

from taichi_pynerf.data.datasets import MultiScaleDataset
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer

EYE, TARGET = (0.0, -2.2, 0.4), (0.0, 0.0, 0.0)


def new_trainer(max_steps=40, output_dir=None):
    config = tiny_config(max_steps=max_steps, seed=3, render_step=0.5, cull_hidden=1e-3)
    dataset = MultiScaleDataset.from_scene(ball_scene(), scales=[1, 2])
    return MultiScaleTrainer(PyNeRF(config), config, dataset, progress=False, output_dir=output_dir)


def until(audience, found, what, seconds=20.0):
    """Draw until `found()`."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"{what} did not come"
        if not audience.round(audience.server, 0.05):
            time.sleep(0.005)


def page(audience, size=(64, 48), **options):
    client = importlib.import_module("benchmarks.page_client")  # it needs viser
    return client.PageClient(audience.server.link, size, **options)


def push(audience, page, label, value):
    """Use a widget, once it is there."""
    until(audience, lambda: label in page.widgets, label)
    page.set(label, value)


def rested(*pages):
    return lambda: all(p.pictures and p.pictures[-1][1] == "png" for p in pages)


def thread_of(act, end=lambda: None):
    """A thread that has begun to act, and the list that gets its fault; `end` comes after it."""
    faults = []

    def run():
        try:
            act()
        except BaseException as fault:
            faults.append(fault)
        finally:
            end()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, faults
