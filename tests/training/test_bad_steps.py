"""NaN and infinity in a training: found, named by step and tensor, and left out if asked for."""

import copy
import dataclasses
import math
import re
import warnings

import pytest
import torch
from tiny import ball_scene, tiny_model

from taichi_pynerf.apps import train as train_app
from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.errors import CheckpointError, ConfigError, Notice, TrainingError
from taichi_pynerf.runs.checkpoint import FILE_NAME, read_checkpoint
from taichi_pynerf.runs.finite import first_fault, tensors_in
from taichi_pynerf.runs.scene_source import SceneSource
from taichi_pynerf.training.trainer import PyNeRFTrainer

WEIGHT = "model.field.color_heads.0.0.weight"


def make_trainer(output_dir=None, **settings):
    data = PyNeRFDataset.from_scene(ball_scene(6, 16), True)
    return PyNeRFTrainer(
        tiny_model(**settings), train_dataset=data, output_dir=output_dir, progress=False
    )


def weights_of(trainer):
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def spoil_batches(trainer, monkeypatch, field, place, value, steps):
    """Put a value into a field of the batches of some steps."""
    sample = trainer.train_dataset.sample

    def spoilt(*args, **named):
        batch = sample(*args, **named)
        if trainer.step in steps:
            tensor = getattr(batch, field).clone()
            tensor[place] = value
            batch = dataclasses.replace(batch, **{field: tensor})
        return batch

    monkeypatch.setattr(trainer.train_dataset, "sample", spoilt)


def spoil_gradients(trainer, value, steps):
    """Put a value into the gradient of the colour network's first matrix in some steps."""

    def spoilt(grad):
        grad = grad.clone()
        if trainer.step in steps:
            grad[0, 1] = value
        return grad

    trainer.model.field.color_heads[0][0].weight.register_hook(spoilt)


@pytest.mark.parametrize(
    ("field", "place", "value"),
    [("rgb", (3, 0), math.nan), ("rgb", (0, 2), math.inf), ("weights", (7,), -math.inf)],
)
def test_a_batch(monkeypatch, field, place, value):
    trainer = make_trainer(max_steps=5)
    spoil_batches(trainer, monkeypatch, field, place, value, steps=[2])
    states = []
    named = re.escape(f"(batch.{field}{list(place)} is {value}) at step 2")
    with pytest.raises(TrainingError, match=f"the loss is .* {named}: lower --learning_rate"):
        trainer.train(lambda trainer, _: states.append(weights_of(trainer)))
    assert len(states) == 2
    for name, value in trainer.model.named_parameters():
        assert torch.equal(value, states[-1][name])


def test_an_unknown_depth_is_no_fault(monkeypatch):
    trainer = make_trainer(max_steps=3)
    spoil_batches(trainer, monkeypatch, "depth", (0,), math.nan, steps=[0, 1, 2])
    assert math.isfinite(trainer.train()["loss"])


def test_a_gradient():
    trainer = make_trainer(max_steps=5)
    spoil_gradients(trainer, math.nan, steps=[1])
    trainer.train_step()
    before = weights_of(trainer)
    named = re.escape(f"the gradient of {WEIGHT}[0, 1] is nan at step 1: ")
    with pytest.raises(TrainingError, match=named):
        trainer.train()
    assert all(torch.equal(value, before[name]) for name, value in weights_of(trainer).items())


def test_a_table_entry():
    trainer = make_trainer(max_steps=5)

    @torch.no_grad()
    def spoil(trainer, _):
        if trainer.step == 2:  # the middle of the coarsest level, which samples of the ball read
            trainer.model.field.encoders[0].table[60:65, 1] = math.nan

    named = re.escape("(model.field.encoders.0.table[60, 1] is nan) at step 2")
    with pytest.raises(TrainingError, match=f"the loss is nan {named}"):
        trainer.train(spoil)


@pytest.mark.parametrize("part", ["table", "moment"])
def test_the_last_good_checkpoint_is_kept(tmp_path, part):
    """Nothing reads the last entry of the table: only the check before saving can find it."""
    trainer = make_trainer(tmp_path, max_steps=3)
    trainer.train()
    trainer.save()
    good = (tmp_path / FILE_NAME).read_bytes()
    table = trainer.model.field.encoders[0].table
    with torch.no_grad():
        if part == "table":
            table[-1, 0] = math.nan
            named = f"model.field.encoders.0.table[{len(table) - 1}, 0] is nan"
        else:
            trainer.optimizers["tables"].state[table]["square_avg"][5, 1] = math.inf
            named = "training.optimizers.tables.state.0.square_avg[5, 1] is inf"
    words = (
        f"{tmp_path / FILE_NAME}: not written at step 3, because {named}; the earlier checkpoint"
    )
    with pytest.raises(TrainingError, match=re.escape(words)):
        trainer.save()
    assert (tmp_path / FILE_NAME).read_bytes() == good
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("part", ["optimizer", "model"])
def test_a_resumed_training(tmp_path, part):
    trainer = make_trainer(tmp_path, max_steps=2)
    trainer.train()
    state = copy.deepcopy(trainer.state_dict())
    other = make_trainer(max_steps=2)
    if part == "optimizer":
        number, moments = next(iter(state["optimizers"]["networks"]["state"].items()))
        moments["exp_avg_sq"][0, 1] = math.nan
        named = f"training.optimizers.networks.state.{number}.exp_avg_sq[0, 1] is nan"
    else:
        with torch.no_grad():
            other.model.field.color_heads[0][0].weight[0, 0] = math.nan
        named = f"{WEIGHT}[0, 0] is nan"
    with pytest.raises(CheckpointError, match=re.escape(f"cannot be resumed: {named}")):
        other.load_state_dict(state)


def test_bad_steps_are_left_out_and_change_nothing(monkeypatch):
    trainer = make_trainer(max_steps=8, skip_bad_steps=2)
    spoil_batches(trainer, monkeypatch, "rgb", (0, 0), math.nan, steps=[2])
    spoil_gradients(trainer, math.inf, steps=[5])
    states = {0: weights_of(trainer)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.train(lambda trainer, _: states.update({trainer.step: weights_of(trainer)}))
    told = [str(w.message) for w in caught if isinstance(w.message, Notice)]
    assert len(told) == 2
    assert told[0].endswith("(batch.rgb[0, 0] is nan) at step 2: step left out (1 of 2)")
    assert told[1] == f"the gradient of {WEIGHT}[0, 1] is inf at step 5: step left out (2 of 2)"
    for step in range(8):
        now, then = states[step], states[step + 1]
        assert any(not torch.equal(now[name], then[name]) for name in now) == (step not in (2, 5))
    assert first_fault(trainer.model.named_parameters()) is None


def test_a_step_left_out_leaves_no_gradient_for_the_next():
    """The gradient of the table is summed in place, and the bad step has added to it."""
    trainer = make_trainer(max_steps=8, skip_bad_steps=1)
    spoil_gradients(trainer, math.nan, steps=[1])
    trainer.train_step()
    with pytest.warns(Notice, match="step left out"):
        trainer.train_step()
    assert all(p.grad is None for p in trainer.model.parameters())
    trainer.train_step()
    table = trainer.model.field.encoders[0].table
    assert table.grad is not None
    assert not table.grad.any()


def test_one_bad_step_too_many_ends_the_training():
    trainer = make_trainer(max_steps=8, skip_bad_steps=2)
    spoil_gradients(trainer, math.nan, steps=[1, 2, 4])
    with (
        pytest.warns(Notice, match="step left out"),
        pytest.raises(TrainingError, match="at step 4, and 2 such steps were left out: "),
    ):
        trainer.train()


def test_steps_left_out_count_after_resuming_too(monkeypatch):
    trainer = make_trainer(max_steps=8, skip_bad_steps=2)
    spoil_batches(trainer, monkeypatch, "rgb", (0, 0), math.nan, steps=[1])
    trainer.train_step()
    with pytest.warns(Notice, match=r"step left out \(1 of 2\)"):
        trainer.train_step()
    trainer.train_step()
    other = make_trainer(max_steps=8, skip_bad_steps=2)
    other.load_state_dict(trainer.state_dict())
    spoil_gradients(other, math.nan, steps=[4])
    with pytest.warns(Notice, match=r"step left out \(2 of 2\)"):
        other.train()
    with pytest.raises(CheckpointError, match="impossible"):
        other.load_state_dict({**trainer.state_dict(), "bad_steps": -5})


def test_a_run_may_leave_out_steps_when_it_is_resumed(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=1)
    trainer.scene = SceneSource(data_dir=str(tmp_path)).to_dict()
    trainer.train()
    trainer.save()
    content = read_checkpoint(tmp_path)
    parse = train_app.build_parser().parse_args
    args = parse(["--resume", str(tmp_path), "--skip_bad_steps", "3"])
    assert train_app.resumed_settings(args, content)[1] == trainer.config.replace(skip_bad_steps=3)
    args = parse(["--resume", str(tmp_path), "--learning_rate", "1e-4"])
    with pytest.raises(ConfigError, match="--learning_rate cannot change with --resume"):
        train_app.resumed_settings(args, content)


def test_places_of_faults():
    fine = torch.ones(2, 3)
    nested = {"a": [fine, {"b": fine.clone()}], "n": 3, "trained_levels.level_min": fine / 0}
    assert first_fault(tensors_in(nested)) is None
    nested["a"][1]["b"][1, 2] = -math.inf
    assert first_fault(tensors_in(nested)) == "a.1.b[1, 2] is -inf"
    assert first_fault([("x", torch.tensor(math.nan))]) == "x is nan"
    assert first_fault([("x", torch.tensor([1, 2]))]) is None
