"""One of the two programs that `step_beside` compares: it runs steps and frames on request.

It is run as a file, with the package of some checkout, so it uses only public names. It reads lines
{"case": …, "turns": …} and answers each with a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time

from taichi_pynerf import PyNeRFDataset, PyNeRFTrainer, compute_psnr, load_pyramid_model

import torch  # isort: skip  (after the package, which sets the thread policy)

STEPS = 16  # a turn: one update of the occupancy grid among them


class Clock:
    """Time since it was made: wall time, and processor time, which other programs affect less."""

    def __init__(self):
        self._begun = time.perf_counter(), time.process_time()

    def milliseconds(self, count: int = 1) -> dict[str, float]:
        """{"ms", "processor ms"} for each of `count` things done."""
        wall, processors = self._begun
        return {
            "ms": 1e3 * (time.perf_counter() - wall) / count,
            "processor ms": 1e3 * (time.process_time() - processors) / count,
        }


class Child:
    """A trained model and the measurements that can be requested of it.

    Args:
        checkpoint: a checkpoint file.
        data_dir, img_downscale: its scene.
    """

    def __init__(self, checkpoint: str, data_dir: str, img_downscale: int):
        self._checkpoint = checkpoint
        scene = {"img_downscale": img_downscale, "white_background": True}
        self._train = PyNeRFDataset(data_dir, "train", **scene)
        self._test = PyNeRFDataset(data_dir, "test", **scene)
        self._trainers: dict[str, PyNeRFTrainer] = {}
        self.model, self.config = load_pyramid_model(None, checkpoint)

    def steps(self, name: str, changes: dict) -> dict:
        """A turn of `STEPS` steps: their mean times and samples."""
        trainer = self._trainers.get(name)
        if trainer is None:
            trainer = self._trainers[name] = self._trainer(changes)
        clock = Clock()
        figures = [trainer.train_step() for _ in range(STEPS)]
        samples = sum(each["num_samples"] for each in figures) / STEPS
        return {**clock.milliseconds(STEPS), "samples": samples}

    def _trainer(self, changes: dict) -> PyNeRFTrainer:
        """A trainer whose model stays as it is, so that both programs keep the same samples."""
        model, config = load_pyramid_model(None, self._checkpoint)
        config = config.replace(
            learning_rate=1e-30, max_steps=10**6, max_seconds=0.0, val_interval=0, **changes
        )
        trainer = PyNeRFTrainer(model, config, self._train, progress=False)
        trainer.step = config.occupancy_interval  # a new training's first steps are others
        for _ in range(2 * STEPS):  # kernels compile, the number of rays settles
            trainer.train_step()
        return trainer

    def frame(self) -> dict:
        """A test view: its times and PSNR."""
        index = len(self._test) // 2
        rays = self._test.rays(index)
        bounds = torch.tensor([self._test.near, self._test.far]).repeat(len(rays.rays_o), 1)
        clock = Clock()
        with torch.no_grad():
            out = self.model.eval()(
                rays.rays_o, rays.rays_d, bounds, rays.pixel_areas, torch.ones(3)
            )
        times = clock.milliseconds()
        truth = self._test.image(index)
        return {**times, "psnr": compute_psnr(out["rgb"].view_as(truth), truth)}

    def answer(self, name: str, changes: dict | None) -> dict:
        return self.frame() if changes is None else self.steps(name, changes)


def main() -> None:
    given = json.loads(sys.argv[1])
    child = Child(given["checkpoint"], given["data_dir"], given["img_downscale"])
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(child.answer(asked["name"], asked["changes"])), flush=True)


if __name__ == "__main__":
    main()
