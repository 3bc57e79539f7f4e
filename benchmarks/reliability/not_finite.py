"""NaN and infinity in batches, gradients, table entries and resumed moments.

Each is named by step and tensor, the last good checkpoint stays, and a run may leave bad steps out.
"""

from __future__ import annotations

import dataclasses
import math
import random
import re
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import Forked
from taichi_pynerf.apps import train
from taichi_pynerf.runs.checkpoint import FILE_NAME, read_checkpoint
from taichi_pynerf.runs.finite import first_fault, tensors_in
from taichi_pynerf.training.trainer import PyNeRFTrainer

Spoil = Callable[[PyNeRFTrainer, float, random.Random], None]


def batch(trainer: PyNeRFTrainer, value: float, rng: random.Random) -> None:
    sample = trainer.train_dataset.sample

    def spoilt(*args: object, **named: object) -> object:
        trainer.train_dataset.sample = sample
        found = sample(*args, **named)
        rgb = found.rgb.clone()
        rgb[rng.randrange(len(rgb)), rng.randrange(3)] = value
        return dataclasses.replace(found, rgb=rgb)

    trainer.train_dataset.sample = spoilt


def gradient(trainer: PyNeRFTrainer, value: float, rng: random.Random) -> None:
    weight = trainer.model.field.color_heads[0][0].weight
    place = tuple(rng.randrange(size) for size in weight.shape)

    def spoilt(grad: torch.Tensor) -> torch.Tensor:
        handle.remove()
        grad = grad.clone()
        grad[place] = value
        return grad

    handle = weight.register_hook(spoilt)


@torch.no_grad()
def weight(trainer: PyNeRFTrainer, value: float, rng: random.Random) -> None:
    matrix = rng.choice([p for p in trainer.model.field.heads.parameters() if p.dim() == 2])
    matrix[tuple(rng.randrange(size) for size in matrix.shape)] = value


@torch.no_grad()
def table(trainer: PyNeRFTrainer, value: float, rng: random.Random) -> None:
    entries = trainer.model.field.encoders[0].table
    entries[rng.randrange(len(entries)), rng.randrange(entries.shape[1])] = value


@torch.no_grad()
def moment(trainer: PyNeRFTrainer, value: float, rng: random.Random) -> None:
    entries = next(iter(trainer.optimizers["tables"].state.values()))["square_avg"]
    entries[rng.randrange(len(entries)), 0] = value


PLACES: tuple[Spoil, ...] = (batch, gradient, weight, table, moment)
SKIPPED: tuple[Spoil, ...] = (batch, gradient)  # one step is bad, and the next is good again


def campaign(options: Options, outcome: Outcome) -> None:
    rng = random.Random(options.seed)
    scene = small_run.make_scene(options.folder / "scene")
    values = (math.nan,) if options.quick else (math.nan, math.inf, -math.inf)
    cases = [(spoil, value, 0) for spoil in PLACES for value in values]
    cases += [(spoil, math.nan, 1) for spoil in SKIPPED]
    if options.quick:
        cases = [(gradient, math.nan, 0), (table, math.nan, 0), (batch, math.nan, 1)]
    for number, (spoil, value, allowed) in enumerate(cases):
        one(outcome, options.folder, scene, f"run{number}", spoil, value, allowed, rng)
    resumed(outcome, options.folder, scene, rng)


def one(
    outcome: Outcome, folder: Path, scene: Path, name: str, spoil: Spoil, value: float,
    allowed: int, rng: random.Random,
) -> None:  # fmt: skip
    """A training into which a value is put before a random step."""
    step = rng.randint(8, 30)

    def prepare() -> None:
        train_step = PyNeRFTrainer.train_step

        def spoiling(trainer: PyNeRFTrainer) -> dict:
            if trainer.step == step:
                spoil(trainer, value, rng)
            return train_step(trainer)

        PyNeRFTrainer.train_step = spoiling  # type: ignore[method-assign]

    settings = {"skip_bad_steps": allowed} if allowed else {}
    argv = small_run.arguments(scene, folder, name, **settings)
    done = Forked(train.main, argv, folder, prepare).wait()
    what = f"{value} in a {spoil.__name__} at step {step}"
    run_dir = folder / name
    if allowed:
        fault = done.fault(0, f"at step {step}: step left out (1 of 1)")
        outcome.note(f"{what}, one bad step allowed", fault or unsound(run_dir), "goes on")
        return
    fault = done.fault(2)
    named = re.search(r"(\S+\[[\d, ]+\] is -?(?:nan|inf)).* at step (\d+)|at step (\d+), because "
                      r".*(\S+\[[\d, ]+\] is -?(?:nan|inf))", done.last_words)  # fmt: skip
    if fault is None and named is None:
        fault = f"neither tensor nor step is named: {done.last_words}"
    words = done.last_words.replace(str(folder), "…")
    outcome.note(what, fault or unsound(run_dir), words)


def unsound(run_dir: Path) -> str | None:
    """A number in the checkpoint that is not finite, or the lack of a checkpoint."""
    if small_run.step_of(run_dir) is None:
        return "no checkpoint is left"
    content = read_checkpoint(run_dir)
    return first_fault(tensors_in({"m": content["model"], "t": content["training"]}))


def resumed(outcome: Outcome, folder: Path, scene: Path, rng: random.Random) -> None:
    """A checkpoint with a bad number, which somebody resumes."""
    run_dir = folder / "resumed"
    argv = small_run.arguments(scene, folder, "resumed", max_steps=4)
    Forked(train.main, argv, folder).wait()
    good = (run_dir / FILE_NAME).read_bytes()
    for part in ("networks", "tables", "model"):
        content = torch.load(run_dir / FILE_NAME, weights_only=True)
        if part == "model":
            tensors = [t for n, t in content["model"].items() if "heads" in n and t.dim() == 2]
        else:
            states = content["training"]["optimizers"][part]["state"].values()
            tensors = [t for state in states for t in state.values() if t.dim() == 2]
        spoilt = rng.choice(tensors)
        spoilt[tuple(rng.randrange(size) for size in spoilt.shape)] = math.nan
        torch.save(content, run_dir / FILE_NAME)
        bad = (run_dir / FILE_NAME).read_bytes()
        argv = ["--resume", str(run_dir), "--max_steps", "8", "--no-tensorboard"]
        done = Forked(train.main, argv, folder).wait()
        fault = done.fault(2, "cannot be resumed", "is nan")
        if fault is None and (run_dir / FILE_NAME).read_bytes() != bad:
            fault = "the checkpoint was overwritten"
        words = done.last_words.replace(str(folder), "…")
        outcome.note(f"nan in a resumed {part}", fault, words)
        (run_dir / FILE_NAME).write_bytes(good)
