import copy
import dataclasses
import itertools
import json
import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from tiny import ball_scene, roughen, tiny_config, tiny_model
from tiny_training import all_tensors, dataset, differences, make_trainer, multi_scale_dataset
from torch import nn

from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.data.scene import Scene
from taichi_pynerf.errors import CheckpointError, ConfigError, Notice, TrainingError
from taichi_pynerf.evaluation.evaluation import METRICS, evaluate
from taichi_pynerf.evaluation.metrics import compute_psnr
from taichi_pynerf.model.images import render_image
from taichi_pynerf.runs.checkpoint import FILE_NAME, model_from_checkpoint, read_checkpoint
from taichi_pynerf.training import trainer as trainer_module
from taichi_pynerf.training.distributed import Workers
from taichi_pynerf.training.losses import PyNeRFLoss
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.training.optimization.optimizers import (
    build_optimizers,
    gather_in_place,
    parameter_groups,
)
from taichi_pynerf.training.optimization.schedules import learning_rate_factor
from taichi_pynerf.training.trainer import PyNeRFTrainer


class RecordingLoss(PyNeRFLoss):
    """The default loss, with a record of what it was given."""

    def __init__(self, config):
        super().__init__(config)
        self.calls = []

    def forward(self, outputs, targets):
        self.calls.append((outputs, targets))
        return super().forward(outputs, targets)


# ---- it learns --------------------------------------------------------------------------------

LEARNERS = [
    {"sampler": "occupancy"},
    {"sampler": "hierarchical"},
    {"output_interpolation": "color", "share_feature_grid": False, "gradient_clip": 1.0},
    {"single_level": True, "distortion_loss_weight": 1e-3, "hash_decay": 1e-3},
    {"level_interpolation": "none", "pyramid_loss_weight": 0.0, "background": "random"},
    {"mixed_precision": True},
]


@pytest.mark.parametrize("settings", LEARNERS, ids=str)
def test_the_loss_falls_to_a_third_within_60_steps(settings):
    trainer, losses = make_trainer(**settings), []
    figures = trainer.train(lambda _, step_figures: losses.append(step_figures["color_loss"]))
    assert trainer.step == len(losses) == 60
    assert sum(losses[-5:]) < sum(losses[:5]) / 3
    assert figures["psnr"] > 15


def test_what_is_learned_is_the_scene():
    trainer = make_trainer()
    trainer.train()
    unseen = PyNeRFDataset.from_scene(ball_scene(num_views=5, split="test"), True)
    psnr = {"psnr": METRICS["psnr"]}
    before = evaluate(tiny_model(), unseen, [1, 3], psnr)["psnr"]
    after = evaluate(trainer.model, unseen, [1, 3], psnr)["psnr"]
    assert before < 11
    assert after > 16


# ---- repeatable -------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_parameters_to_the_bit():
    first, second, other = (make_trainer(max_steps=10, seed=seed) for seed in (3, 3, 4))
    for trainer in (first, second, other):
        trainer.train()
    assert differences(all_tensors(first), all_tensors(second)) == []
    assert "model.field.encoders.0.table" in differences(all_tensors(first), all_tensors(other))


@pytest.mark.parametrize(
    "settings",
    [
        {"occupancy_interval": 2, "samples_per_batch": 3000, "background": "random"},
        {"sampler": "hierarchical", "share_feature_grid": False, "background": "black"},
        {"sampler": "proposal", "background": "random"},
        {"kind": MultiScaleTrainer, "scale_schedule": {0: 4, 2: 2, 4: 1}, "gradient_clip": 0.1},
    ],
    ids=["occupancy", "hierarchical", "proposal", "multi_scale"],
)
def test_a_resumed_training_goes_on_to_the_bit(tmp_path, settings):
    def fresh(**more):
        kind = settings.get("kind")
        data = multi_scale_dataset() if kind else dataset()
        return make_trainer(data=data, max_steps=6, **{**settings, **more})

    in_one_go = fresh()
    in_one_go.train()

    interrupted = fresh(output_dir=tmp_path)
    interrupted.train(lambda t, _: t.request_stop() if t.step == 3 else None)
    assert interrupted.step == 3
    assert interrupted.save() == tmp_path / FILE_NAME

    resumed = fresh()
    roughen(resumed.model.field, seed=1)  # other weights than those of the file
    content = read_checkpoint(tmp_path)
    model_from_checkpoint(content, tmp_path, resumed.model)
    resumed.load_state_dict(content["training"])
    assert differences(all_tensors(resumed), all_tensors(interrupted)) == []
    resumed.train()
    assert resumed.step == 6
    assert differences(all_tensors(resumed), all_tensors(in_one_go)) == []
    # It did go on from there:
    before, after = interrupted.model.field.encoders, resumed.model.field.encoders
    assert not torch.equal(before[-1].table, after[-1].table)


@pytest.mark.parametrize("state", [None, {}, {"step": 3}, {"optimizers": {"tables": {}}}], ids=str)
def test_a_state_that_cannot_be_resumed_is_refused(state):
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        make_trainer().load_state_dict(state)


def test_a_training_goes_on_on_another_kind_of_device():
    trainer = make_trainer(max_steps=6, seed=3)
    trainer.train(lambda t, _: t.request_stop() if t.step == 2 else None)
    state = trainer.state_dict()
    state["generator"] = torch.zeros(16, dtype=torch.uint8)  # as CUDA has it
    states = []
    for _ in range(2):
        resumed = make_trainer(max_steps=6, seed=3)
        with pytest.warns(Notice, match="another kind of device than cpu") as told:
            resumed.load_state_dict(copy.deepcopy(state))  # it is taken as it is
        assert len(told) == 1
        assert resumed.generator.initial_seed() == 3 + 2
        resumed.train()
        assert resumed.step == 6
        states.append(all_tensors(resumed))
    assert differences(*states) == []


class CudaGenerator:
    """What `resume_draws` sees of a generator on CUDA."""

    device = torch.device("cuda")
    seed = None

    def set_state(self, state):
        if state.shape != (16,):
            raise RuntimeError("RNG state is wrong size")

    def manual_seed(self, seed):
        self.seed = seed


def test_a_state_of_the_processor_seeds_a_cuda_generator():
    generator = CudaGenerator()
    Workers().resume_draws(generator, torch.zeros(16, dtype=torch.uint8), 5)
    assert generator.seed is None
    whole = torch.Generator().get_state()
    for rank, told in ((0, pytest.warns(Notice, match="than cuda")), (1, nullcontext())):
        generator.seed = None
        with told:
            Workers(rank, 2).resume_draws(generator, whole, 5)
        assert generator.seed == 5
    for damaged in (torch.zeros_like(whole), whole[:-1]):
        with pytest.raises(RuntimeError, match="state"):
            Workers().resume_draws(generator, damaged, 5)


@pytest.mark.parametrize(
    "damaged",
    [torch.zeros(16), torch.zeros(17, dtype=torch.uint8), torch.zeros(5056, dtype=torch.uint8), 3],
    ids=["floats", "size", "content", "kind"],
)
def test_a_damaged_state_of_the_generator_is_refused(damaged):
    trainer = make_trainer()
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        trainer.load_state_dict({**trainer.state_dict(), "generator": damaged})


def test_the_checkpoint_holds_moments_but_no_gradients(tmp_path):
    trainer = make_trainer(max_steps=2, output_dir=tmp_path, scene={"name": "ball"})
    trainer.train()
    trainer.save()
    content = read_checkpoint(tmp_path)
    assert content["scene"] == {"name": "ball"}
    assert content["training"]["step"] == 2
    shape = trainer.model.field.encoders[0].table.shape
    moments = content["training"]["optimizers"]["tables"]["state"][0]
    assert set(moments) == {"square_avg", "weight"}
    assert moments["square_avg"].shape == shape
    assert moments["weight"].shape == shape[:1]
    assert all(moment.any() for moment in moments.values())
    assert content["model"].keys() == trainer.model.state_dict().keys()


def test_a_state_that_counted_the_steps_of_all_rows_is_resumed():
    """As checkpoints have it that were written before rows counted their own."""
    trainer = make_trainer(max_steps=5)
    trainer.train()
    state = trainer.state_dict()
    moments = state["optimizers"]["tables"]["state"][0]
    del moments["weight"]
    moments["step"] = 5
    resumed = make_trainer(max_steps=6)
    resumed.load_state_dict(state)
    weight = next(iter(resumed.optimizers["tables"].state.values()))["weight"]
    seen = moments["square_avg"].ne(0).any(1)
    torch.testing.assert_close(weight[seen], torch.full_like(weight[seen], 1 - 0.99**5))
    assert not weight[~seen].any()
    resumed.train()
    assert resumed.step == 6


# ---- how it ends ------------------------------------------------------------------------------


def test_training_ends_at_max_steps():
    trainer = make_trainer(max_steps=3)
    assert trainer.train()["step"] == trainer.step == 3
    assert trainer.finished()
    assert trainer.train() == {}
    assert trainer.step == 3


def test_training_ends_at_max_seconds(monkeypatch):
    clock = iter(range(10**6))  # every look at the clock is a second later
    monkeypatch.setattr(trainer_module.time, "perf_counter", lambda: float(next(clock)))
    trainer = make_trainer(max_steps=10**6, max_seconds=4.0)
    assert trainer.train()["train_seconds"] == 4.0
    assert trainer.step == 4
    assert trainer.progress_made() == 1.0


def test_training_ends_when_it_is_asked_to():
    trainer = make_trainer(max_steps=50)
    trainer.train(lambda t, _: t.request_stop() if t.step == 2 else None)
    assert trainer.step == 2


class FailingLoss(nn.Module):
    """Finite losses at first, then the given one."""

    def __init__(self, config, value, good_steps):
        super().__init__()
        self.loss, self.value, self.good_steps = PyNeRFLoss(config), value, good_steps

    def forward(self, outputs, targets):
        losses = self.loss(outputs, targets)
        self.good_steps -= 1
        if self.good_steps < 0:
            losses["total_loss"] = losses["total_loss"] * self.value
        return losses


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_it_and_touches_nothing(tmp_path, value):
    loss = FailingLoss(tiny_config(), value, good_steps=3)
    trainer = make_trainer(loss=loss, output_dir=tmp_path)
    states = {}

    def on_step(trainer, _):
        states[trainer.step] = all_tensors(trainer)
        if trainer.step == 2:
            trainer.save()

    with pytest.raises(TrainingError, match=f"the loss is {value} at step 3") as caught:
        trainer.train(on_step)
    assert "\n" not in str(caught.value)
    content = read_checkpoint(tmp_path)
    assert content["training"]["step"] == 2
    for name, tensor in trainer.model.named_parameters():
        assert torch.equal(tensor, states[3][f"model.{name}"])
        assert torch.equal(content["model"][name], states[2][f"model.{name}"])
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_batch_that_meets_nothing_is_no_fault():
    scene = ball_scene()
    scene.cameras.c2w[:, 2, 3] += 50.0  # high above the box, looking around
    trainer = make_trainer(data=PyNeRFDataset.from_scene(scene, True), max_steps=2)
    before = all_tensors(trainer)
    figures = trainer.train()
    assert trainer.step == 2
    assert figures["num_samples"] == 0
    assert "model.field.encoders.0.table" not in differences(
        before, {**before, **{k: v for k, v in all_tensors(trainer).items() if k in before}}
    )


def test_a_trainer_needs_data():
    with pytest.raises(ValueError, match="train_dataset"):
        PyNeRFTrainer(tiny_model())


def test_a_trainer_without_a_folder_cannot_save():
    with pytest.raises(ValueError, match="output_dir"):
        make_trainer().save()


# ---- what a step does -------------------------------------------------------------------------


def test_the_learning_rate_warms_up_and_decays():
    trainer, rates = make_trainer(max_steps=12, warmup_steps=4, final_learning_rate=0.1), []
    trainer.train(lambda _, figures: rates.append(figures["learning_rate"]))
    expected = [5e-2 * learning_rate_factor(step, step / 12, 4, 0.1) for step in range(12)]
    assert rates == pytest.approx(expected)
    assert [
        group["lr"] for opt in trainer.optimizers.values() for group in opt.param_groups
    ] == pytest.approx([expected[-1]] * 2)  # fmt: skip


def test_a_custom_loss_is_what_is_trained_on():
    class Darkness(nn.Module):
        def forward(self, outputs, targets):
            assert set(targets) == {"rgb", "weights", "depth", "acc"}
            assert targets["depth"].shape == outputs["depth"].shape == (128,)
            assert not targets["depth"].any(), "the scene has no depths: all are unknown"
            assert ((targets["acc"] >= 0) & (targets["acc"] <= 1)).all()
            assert targets["rgb"].shape == outputs["rgb"].shape == (128, 3)
            assert targets["weights"].shape == outputs["acc"].shape == (128,)
            brightness = outputs["rgb"].mean()
            return {"total_loss": brightness, "brightness": brightness}

    trainer = make_trainer(loss=Darkness(), background="black", max_steps=40)
    shades = []
    figures = trainer.train(lambda _, step_figures: shades.append(step_figures["brightness"]))
    assert figures["loss"] == figures["brightness"]
    assert sum(shades[-5:]) < 0.2 * sum(shades[:5])


def test_a_background_that_no_scene_has_decided_is_refused():
    with pytest.raises(ConfigError, match="fit_to_scene"):
        make_trainer(background="auto")


@pytest.mark.parametrize("background", ["white", "black", "random"])
def test_pictures_and_pixels_are_put_on_the_same_background(background):
    loss = RecordingLoss(tiny_config())
    trainer = make_trainer(loss=loss, background=background, max_steps=1)
    trainer.model.occupancy.num_updates += 1
    trainer.model.renderer.update_occupancy = lambda _: None
    trainer.model.occupancy.occupied.zero_()
    trainer.model.occupancy.occupied[0, 0, 0, 0] = 1  # next to nothing is seen
    drawn = []
    sample = trainer.train_dataset.sample
    trainer.train_dataset.sample = lambda n, generator, color, *more: (
        drawn.append(color) or sample(n, generator, color, *more)
    )
    trainer.train_step()
    ((outputs, targets),) = loss.calls
    color = drawn[0].expand(128, 3)
    clear = outputs["acc"] == 0
    assert clear.sum() > 64
    assert torch.equal(outputs["rgb"][clear], color[clear])
    # Most pixels of the scene are background too.
    assert (targets["rgb"] == color).all(-1).float().mean() > 0.5
    if background == "random":
        assert len(color.unique(dim=0)) == 128
        assert color.mean() == pytest.approx(0.5, abs=0.1)
    else:
        assert color.unique().tolist() == [float(background == "white")]


@pytest.mark.parametrize("batch_size", [16, 2048])
def test_the_number_of_rays_adapts_to_the_number_of_samples(batch_size):
    trainer = make_trainer(
        batch_size=batch_size, samples_per_batch=2000, max_steps=12, occupancy_interval=99
    )
    steps = []
    trainer.train(lambda _, figures: steps.append(figures))
    num_rays = [figures["num_rays"] for figures in steps]
    assert num_rays[0] == batch_size
    assert all(after <= 2 * now for now, after in itertools.pairwise(num_rays))
    for figures in steps[8:]:
        assert figures["num_samples"] == pytest.approx(2000, rel=0.25)


def test_the_number_of_rays_stays_if_it_is_not_asked_to_adapt():
    trainer, num_rays = make_trainer(batch_size=77, max_steps=3), []
    trainer.train(lambda _, figures: num_rays.append(figures["num_rays"]))
    assert num_rays == [77] * 3


def test_the_occupancy_is_updated_at_its_interval():
    trainer, counts = make_trainer(max_steps=7, occupancy_interval=3), []
    trainer.train(lambda t, _: counts.append(int(t.model.occupancy.num_updates)))
    assert counts == [1, 1, 1, 2, 2, 2, 3]
    trainer = make_trainer(max_steps=2, sampler="hierarchical")
    trainer.train()
    assert trainer.model.occupancy.num_updates == 0


def test_training_begins_by_carving_away_what_the_images_show_to_be_empty():
    axis = (torch.arange(16) + 0.5) / 8 - 1
    distance = torch.cartesian_prod(axis, axis, axis).norm(dim=-1)
    corner = 3**0.5 / 16  # from the middle of a cell to its corner
    trainer = make_trainer(max_steps=1)
    trainer.train()
    possible = trainer.model.occupancy.possible
    # All that the ball fills; the pixels, 0.14 wide there, know its border no better.
    assert possible[distance < 0.5 + corner].all()
    assert possible[distance > 1.2].float().mean() < 0.3
    assert not trainer.model.occupancy.occupied.view(-1).bool()[~possible].any()
    trainer = make_trainer(max_steps=1, carve=False)
    trainer.train()
    assert trainer.model.occupancy.possible.all()


def test_networks_do_not_get_more_gradient_than_the_clip():
    norms = {}
    for clip in (0.0, 1e-4):
        trainer = make_trainer(max_steps=1, gradient_clip=clip)
        optimizer, step = trainer.optimizers["networks"], trainer.optimizers["networks"].step

        def record(optimizer=optimizer, step=step, clip=clip):
            grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
            norms[clip] = torch.cat([g.view(-1) for g in grads if g is not None]).norm().item()
            return step()

        optimizer.step = record
        trainer.train()
    assert norms[0.0] > 3e-4
    assert norms[1e-4] == pytest.approx(1e-4, rel=1e-2)


# ---- optimizers -------------------------------------------------------------------------------


def test_every_parameter_has_one_optimizer():
    model = tiny_model(share_feature_grid=False, output_interpolation="color")
    optimizers = build_optimizers(model, 1e-2)
    owned = [
        id(p) for opt in optimizers.values() for group in opt.param_groups for p in group["params"]
    ]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())


def test_asking_which_parameters_there_are_changes_nothing():
    model = tiny_model()
    parameter_groups(model)
    assert not any(encoder.accumulate_in_place for encoder in model.field.encoders)
    gather_in_place(model)
    assert all(encoder.accumulate_in_place for encoder in model.field.encoders)


def test_a_table_steps_where_it_has_a_gradient_and_nowhere_else():
    model = tiny_model()
    (table,) = model.field.encoders.parameters()
    optimizer = build_optimizers(model, 0.1)["tables"]
    optimizer.step()  # without a gradient yet
    before = table.detach().clone()
    generator = torch.Generator().manual_seed(0)
    grad = torch.randn(table.shape, generator=generator)
    grad[100:] = 0
    for step in (1, 2):
        table.grad = grad.clone()
        buffer = table.grad
        optimizer.step()
        assert table.grad is buffer
        assert not buffer.any()  # it clears up after itself
        # The gradient is the same each time: the mean of its squares is its square.
        expected = before[:100] - 0.1 * step * grad[:100].sign()
        torch.testing.assert_close(table[:100], expected)
    assert torch.equal(table[100:], before[100:])
    with pytest.raises(ValueError, match="closure"):
        optimizer.step(lambda: 0.0)


# ---- coarse to fine ---------------------------------------------------------------------------


def test_scales_join_as_the_schedule_says():
    data = multi_scale_dataset()
    trainer = make_trainer(
        kind=MultiScaleTrainer, data=data, max_steps=6, scale_schedule={0: 8, 2: 2, 4: 1}
    )
    drawn, active, sample = [], [], data.sample

    def recording_sample(*args, **more):
        batch = sample(*args, **more)
        drawn.append(set(data.scales[batch.view_indices].tolist()))
        return batch

    data.sample = recording_sample
    trainer.train(lambda *_: active.append(data.active_scales))
    expected = [(4,), (4,), (2, 4), (2, 4), (1, 2, 4), (1, 2, 4)]  # 8 is none of the scales
    assert active == expected
    assert drawn == [set(scales) for scales in expected]


def test_all_scales_are_in_use_if_there_is_no_schedule():
    data = multi_scale_dataset()
    data.set_active_scales([4])
    trainer = make_trainer(kind=MultiScaleTrainer, data=data, max_steps=1)
    trainer.train()
    assert data.active_scales == (1, 2, 4)


def test_a_schedule_that_does_not_begin_at_0_is_refused():
    with pytest.raises(ValueError, match="begin at 0"):
        make_trainer(kind=MultiScaleTrainer, data=multi_scale_dataset(), scale_schedule={5: 1})


# ---- figures ----------------------------------------------------------------------------------


def read_log(folder):
    """The lines of a log, each strict JSON."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    lines = (folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def test_the_log_has_training_and_validation_figures(tmp_path):
    trainer = make_trainer(
        data=multi_scale_dataset(), val_dataset=multi_scale_dataset(), output_dir=tmp_path,
        max_steps=45, val_interval=15, batch_size=32,
    )  # fmt: skip
    trainer.train()
    lines = read_log(tmp_path)
    training = [line for line in lines if "val" not in line]
    assert [line["step"] for line in training] == [20, 40]
    for line in training:
        assert {"loss", "psnr", "samples_per_second", "train_seconds", "num_rays"} <= line.keys()
        assert line["loss"] > 0
    validation = [line for line in lines if "val" in line]
    assert [line["step"] for line in validation] == [15, 30]  # the end is the test's
    assert set(validation[0]["val"]["scales"]) == {"1", "2", "4"}
    assert 25 > validation[1]["val"]["psnr"] > validation[0]["val"]["psnr"] > 8


def test_images_that_are_masked_as_a_whole_are_not_chosen_to_be_validated(tmp_path):
    scene = ball_scene(num_views=4, size=8)
    masks = [np.full((8, 8), i == 3) for i in range(4)]  # two of four, spread: the first and third
    data = PyNeRFDataset.from_scene(
        Scene.from_images(
            [image.copy() for image in scene.images], scene.cameras, near=scene.near,
            far=scene.far, aabb=scene.aabb, masks=masks,
        )
    )  # fmt: skip
    trainer = make_trainer(
        val_dataset=data, output_dir=tmp_path, max_steps=3, val_interval=1, batch_size=8
    )
    trainer.train()
    found = [line["val"]["psnr"] for line in read_log(tmp_path)]
    assert len(found) == 2
    assert all(psnr > 0 for psnr in found)


def test_a_perfect_picture_leaves_the_log_readable(tmp_path):
    empty = ball_scene(num_views=1, size=8)
    empty.pixels[:] = 0
    blank = PyNeRFDataset.from_scene(empty, white_background=True)
    trainer = make_trainer(
        val_dataset=blank, output_dir=tmp_path, max_steps=2, val_interval=1, batch_size=8
    )
    trainer.model.occupancy.occupied.zero_()
    trainer.log.write(trainer.validate())  # all white, as it is
    (line,) = read_log(tmp_path)
    assert line == {"step": 0, "val": {"psnr": None, "scales": {"1": {"psnr": None}}}}


def test_large_images_are_validated_on_some_of_their_pixels(monkeypatch):
    masks = np.ones(2 * 16 * 16, dtype=bool)
    masks[: 8 * 16] = False
    masked = dataclasses.replace(ball_scene(num_views=2, size=16), masks=masks)
    data = PyNeRFDataset.from_scene(masked, white_background=True)
    trainer = make_trainer(val_dataset=data, max_steps=60, batch_size=64)
    trainer.train()
    exact = trainer.validate()["val"]["psnr"]
    monkeypatch.setattr("taichi_pynerf.training.validation.VAL_PIXELS", 100)
    seen = []
    monkeypatch.setattr(
        "taichi_pynerf.evaluation.evaluation.render_image",
        lambda *args: (seen.append(args[6].stride), render_image(*args))[1],
    )
    estimate = trainer.validate()["val"]["psnr"]
    assert seen == [2, 2]
    assert estimate == pytest.approx(exact, abs=1.5)
    assert estimate != exact


def test_the_folder_is_made(tmp_path):
    folder = tmp_path / "runs" / "ball"
    trainer = make_trainer(output_dir=folder, max_steps=20, batch_size=8)
    trainer.train()
    assert [line["step"] for line in read_log(folder)] == [20]
    assert trainer.save().is_file()


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_trainer(max_steps=20, batch_size=8).train()
    assert list(tmp_path.iterdir()) == []


def test_psnr_is_that_of_the_batch():
    loss = RecordingLoss(tiny_config())
    figures = make_trainer(loss=loss, max_steps=1).train()
    ((outputs, targets),) = loss.calls
    assert figures["psnr"] == pytest.approx(compute_psnr(outputs["rgb"].detach(), targets["rgb"]))


def test_the_bar_counts_towards_the_end_of_the_seconds(monkeypatch):
    totals = []

    class Bar(trainer_module.tqdm):
        def update(self, n=1):
            totals.append(self.total)
            super().update(n)

    monkeypatch.setattr(trainer_module, "tqdm", Bar)
    trainer = make_trainer(max_steps=10**6, max_seconds=0.5, batch_size=8)
    trainer.train()
    assert totals[-1] == pytest.approx(trainer.step, rel=0.2)


def test_a_checkpoint_is_written_now_and_then(tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr(PyNeRFTrainer, "save", lambda self: steps.append(self.step))
    for interval in (1e-9, 0.0):
        make_trainer(
            max_steps=4, checkpoint_interval=interval, output_dir=tmp_path, batch_size=8
        ).train()
    assert steps == [1, 2, 3]  # the app saves the last one; with 0 there is no other


def test_a_training_on_nothing_stops():
    trainer = make_trainer(aabb=[5.0, 5.0, 5.0, 6.0, 6.0, 6.0], carve=False, max_steps=150)
    with pytest.raises(TrainingError, match="no ray has met anything for 100 steps"):
        trainer.train()
