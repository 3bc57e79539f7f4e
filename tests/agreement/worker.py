"""Trains and renders on one backend, in a process of its own: a process has one.

    python tests/agreement/worker.py BACKEND FOLDER [CHECKPOINT …]

trains the tiny ball for 200 steps and leaves in FOLDER `figures.json` (the first losses, the final
PSNR), `checkpoint.pth` and `render.pt`, what the checkpoint renders. Each other CHECKPOINT is
rendered too, into `render_of_NAME.pt`, NAME being its folder's. With `--render_only` as FOLDER's
last argument nothing is trained.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the helpers of the tests

from taichi_pynerf import PyNeRF, PyNeRFTrainer, load_pyramid_model, runtime  # isort: skip

import torch
from tiny import ball_scene, tiny_config

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.evaluation.evaluation import evaluate, render_view

NUM_STEPS, NUM_FIRST = 200, 5


def train(folder: Path) -> None:
    config = tiny_config(
        max_steps=NUM_STEPS, batch_size=256, samples_per_batch=0, learning_rate=2e-2,
        background="white", cull_hidden=1e-3,
    )  # fmt: skip
    dataset = PyNeRFDataset.from_scene(ball_scene(), white_background=True)
    model = PyNeRF(config)
    trainer = PyNeRFTrainer(model, config, dataset, output_dir=folder, progress=False)
    losses = []
    trainer.train(on_step=lambda _, figures: losses.append(figures["loss"]))
    trainer.save()
    found = evaluate(model.eval(), views())
    figures = {"losses": losses[:NUM_FIRST], "psnr": found["psnr"]}
    (folder / "figures.json").write_text(json.dumps(figures))


def views() -> PyNeRFDataset:
    scene = ball_scene(num_views=4, size=24, split="test")
    return PyNeRFDataset.from_scene(scene, white_background=True)


def render(checkpoint: Path, target: Path) -> None:
    model, _ = load_pyramid_model(None, checkpoint)
    model.eval()
    dataset = views()
    images = [render_view(model, dataset, view)["rgb"] for view in range(len(dataset))]
    torch.save(torch.stack(images), target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backend")
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoints", nargs="*", type=Path)
    parser.add_argument("--render_only", action="store_true")
    args = parser.parse_args()
    assert runtime.start(args.backend) == args.backend
    torch.set_num_threads(1)
    if not args.render_only:
        train(args.folder)
        render(args.folder / "checkpoint.pth", args.folder / "render.pt")
    for checkpoint in args.checkpoints:
        render(checkpoint, args.folder / f"render_of_{checkpoint.parent.name}.pt")


if __name__ == "__main__":
    main()
