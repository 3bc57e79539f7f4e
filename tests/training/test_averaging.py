"""The mean of weights over the end of a training: what it is, and when the model gets it."""

import pytest
import torch
from tiny_training import all_tensors, differences, make_trainer
from torch import nn

from taichi_pynerf.errors import CheckpointError
from taichi_pynerf.runs.checkpoint import model_from_checkpoint, read_checkpoint
from taichi_pynerf.training.optimization.averaging import INTERVAL, WeightAverage

STEPS = 6 * INTERVAL


def weights_of(trainer):
    return [weight.detach().clone() for weight in trainer.average.parameters]


def counted_steps(share, last=STEPS):
    """The steps whose weights should count."""
    first = round(STEPS * (1 - share))
    return [step for step in range(1, last + 1) if step > first and step % INTERVAL == 0]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_the_mean_is_of_every_tenth_step_of_the_last_part(share):
    part = nn.Linear(3, 2)
    average, kept = WeightAverage([part], share), []
    for step in range(1, STEPS + 1):
        nn.init.normal_(part.weight)
        average.note(step, step / STEPS)
        if step in counted_steps(share):
            kept.append(part.weight.detach().clone())
    last = part.weight.detach().clone()
    assert average.count == len(kept)
    average.take()
    torch.testing.assert_close(part.weight.detach(), torch.stack(kept).mean(0) if kept else last)
    assert average.state_dict() == {"count": 0, "means": []}


def test_a_later_end_begins_the_mean_anew():
    part = nn.Linear(3, 2)
    average = WeightAverage([part], 0.4)
    for step in range(1, 10 * INTERVAL):
        average.note(step, step / (10 * INTERVAL))
    assert average.count == 3
    average.note(10 * INTERVAL - 1, 0.3)  # resumed, with three times as many steps
    assert average.state_dict() == {"count": 0, "means": []}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sampler": "proposal"},
        {"pose_learning_rate": 1e-3},
        {"color_correction": "affine"},
    ],
    ids=str,
)
def test_a_training_ends_with_the_mean_of_all_that_it_learns(settings):
    trainer = make_trainer(max_steps=STEPS, average_weights=0.5, **settings)
    learned = {id(p) for part in trainer.learned.values() for p in part.parameters()}
    assert {id(p) for p in trainer.average.parameters} == learned
    kept = []

    def note(trainer, _):
        if trainer.step in counted_steps(0.5):
            kept.append(weights_of(trainer))

    trainer.train(note)
    means = [torch.stack(weights).mean(0) for weights in zip(*kept, strict=True)]
    moved = [not torch.equal(*pair) for pair in zip(means, kept[-1], strict=True)]
    assert any(moved)
    for found, mean in zip(weights_of(trainer), means, strict=True):
        torch.testing.assert_close(found, mean)


def test_a_training_that_is_stopped_keeps_its_weights_and_goes_on_to_the_bit(tmp_path):
    settings = {"max_steps": STEPS, "average_weights": 0.7}
    in_one_go = make_trainer(**settings)
    in_one_go.train()

    interrupted, stop = make_trainer(output_dir=tmp_path, **settings), 4 * INTERVAL + 3
    at_stop = []

    def stop_there(trainer, _):
        if trainer.step == stop:
            at_stop.extend(weights_of(trainer))
            trainer.request_stop()

    interrupted.train(stop_there)
    assert interrupted.average.count == len(counted_steps(0.7, stop)) > 1
    assert all(map(torch.equal, weights_of(interrupted), at_stop))
    interrupted.save()

    resumed = make_trainer(**settings)
    content = read_checkpoint(tmp_path)
    model_from_checkpoint(content, tmp_path, resumed.model)
    resumed.load_state_dict(content["training"])
    resumed.train()
    assert differences(all_tensors(resumed), all_tensors(in_one_go)) == []


def test_a_checkpoint_from_before_there_were_means_is_resumed():
    trainer = make_trainer(max_steps=2, average_weights=0.5)
    trainer.train()
    state = trainer.state_dict()
    del state["average"]
    resumed = make_trainer(max_steps=STEPS, average_weights=0.5)
    resumed.load_state_dict(state)
    assert resumed.average.count == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["means"].pop(),
        lambda state: state["means"].__setitem__(0, torch.zeros(2, 2)),
        lambda state: state.update(count=-1),
        lambda state: state.update(means=None),
        lambda state: state.update(means=["text"] * len(state["means"])),
    ],
)
def test_means_of_other_weights_are_refused(change):
    trainer = make_trainer(max_steps=STEPS, average_weights=1.0)
    trainer.train(lambda t, _: t.request_stop() if t.step == 2 * INTERVAL else None)
    state = trainer.state_dict()
    assert state["average"]["count"] == 2
    change(state["average"])
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        make_trainer(max_steps=STEPS, average_weights=1.0).load_state_dict(state)
