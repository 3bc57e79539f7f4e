"""Trainings of a few seconds, and all that they depend on."""

import torch
from tiny import ball_scene, tiny_model

from taichi_pynerf.data import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.training.trainer import PyNeRFTrainer


def dataset(num_views=6, size=16, split="train", **kwargs):
    return PyNeRFDataset.from_scene(ball_scene(num_views, size, split), True, **kwargs)


def multi_scale_dataset(**kwargs):
    return MultiScaleDataset.from_scene(ball_scene(4), (1, 2, 4), white_background=True, **kwargs)


def make_trainer(kind=PyNeRFTrainer, data=None, **settings):
    """A trainer of a tiny model; arguments that are no settings go to the trainer."""
    names = ("val_dataset", "loss", "output_dir", "scene", "scale_schedule")
    others = {name: settings.pop(name) for name in names if name in settings}
    model = tiny_model(**settings)
    return kind(model, train_dataset=data or dataset(), progress=False, **others)


def all_tensors(trainer):
    """Everything that the next step depends on: {place: tensor or plain value}."""
    found = {f"model.{name}": x.clone() for name, x in trainer.model.state_dict().items()}

    def add(place, value):
        if isinstance(value, dict):
            for key, item in value.items():
                add(f"{place}.{key}", item)
        elif isinstance(value, (list, tuple)):
            for i, item in enumerate(value):
                add(f"{place}.{i}", item)
        else:
            found[place] = value.clone() if torch.is_tensor(value) else value

    add("training", trainer.state_dict())
    del found["training.train_seconds"]
    return found


def differences(one, other):
    """Places at which two such states are not the same to the bit."""
    assert one.keys() == other.keys()

    def same(value, twin):
        return torch.equal(value, twin) if torch.is_tensor(value) else value == twin

    return [place for place, value in one.items() if not same(value, other[place])]
