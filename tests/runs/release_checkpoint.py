"""Writes the checkpoint of a release, and the pixels that it gives, for the releases after it.

python tests/runs/release_checkpoint.py        once for each release that changes what is stored

The file is compressed, as most of it says that a level was trained nowhere.
"""

import lzma
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny import ball_scene, rays_through_box, tiny_model

from taichi_pynerf import __version__, runtime
from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.runs.scene_source import SceneSource
from taichi_pynerf.training.trainer import PyNeRFTrainer

FOLDER = Path(__file__).parent / "releases"


def rays():
    """Origins [N, 3], directions [N, 3] and bounds [N, 2]."""
    found = rays_through_box(40)
    return found.rays_o, found.rays_d, found.bounds


def write() -> None:
    runtime.start("cpu")
    data = PyNeRFDataset.from_scene(ball_scene(6, 16), white_background=True)
    FOLDER.mkdir(exist_ok=True)
    trainer = PyNeRFTrainer(
        tiny_model(hash_table_size=2**9, features_per_level=1, batch_size=48, max_steps=40),
        train_dataset=data,
        output_dir=FOLDER, scene=SceneSource("somewhere").to_dict(),
    )  # fmt: skip
    trainer.log.folder = None
    trainer.train()
    path = trainer.save()
    (FOLDER / f"{__version__}.pth.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))
    path.unlink()
    pixels = {name: value.numpy() for name, value in trainer.model.eval()(*rays()).items()}
    np.savez(FOLDER / f"{__version__}.npz", **pixels)


if __name__ == "__main__":
    write()
