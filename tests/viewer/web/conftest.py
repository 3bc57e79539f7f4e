"""A trained model, and an audience that looks at it."""

from functools import partial

import pytest
from web_pages import new_trainer

from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.audience import Audience
from taichi_pynerf.viewer.web.server import WebServer


@pytest.fixture(scope="session")
def trained():
    trainer = new_trainer(60)
    trainer.train()
    return trainer


@pytest.fixture
def stage(trained, tmp_path):
    """An audience, and a function that draws until something is so."""
    make = partial(Viewer, trained.model, trained.train_dataset, tmp_path)
    audience = Audience(make, WebServer("test", port=0))
    yield audience
    audience.server.close()
