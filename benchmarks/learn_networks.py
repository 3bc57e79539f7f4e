"""Makes the weights that networks begin with (`initial_networks`), from a scene of the demo.

    python -m benchmarks.learn_networks [--scene glossy] [--max_steps 1000] [--seed 0]

The scene's networks begin with random weights, and what they have learned at the end is written to
taichi_pynerf/model/learned_networks.npz, to be committed. Figures of other scenes then say what it
is worth; those of the scene itself do not.
"""

import tempfile
from pathlib import Path

import numpy as np

from taichi_pynerf import runtime
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.data.datasets import MultiScaleDataset
from taichi_pynerf.demo.scene import SCENES, demo_scene_dir
from taichi_pynerf.files import atomic_write
from taichi_pynerf.model import heads
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.training.setup import fitted_preset

FILE = Path(heads.__file__).with_name(heads.LEARNED)


def matrices(model: PyNeRF) -> dict[str, np.ndarray]:
    """The networks' weights, by the names of `learned_networks`, in half precision."""
    named = {str(level + 1): head for level, head in enumerate(model.field.heads)}
    named["color"] = model.field.color_heads[0]
    return {
        f"{name}.{layer}": weight.detach().half().numpy()
        for name, network in named.items()
        for layer, weight in enumerate(network.parameters())
    }


def main(argv: list[str]) -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--scene", choices=SCENES, default="glossy")
    parser.add_argument("--max_steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    runtime.start("cpu")
    dataset = MultiScaleDataset(demo_scene_dir(scene=args.scene), "train", white_background=True)
    config = fitted_preset(
        "cpu", dataset, seed=args.seed, max_steps=args.max_steps, val_interval=0,
        initial_networks="random",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = MultiScaleTrainer(PyNeRF(config), train_dataset=dataset, output_dir=Path(folder))
        trainer.train()
    with atomic_write(FILE) as stream:
        np.savez_compressed(stream, **matrices(trainer.model))
    print(FILE)


if __name__ == "__main__":
    run(main)
