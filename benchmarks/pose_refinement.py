"""The share of the PSNR lost to wrong camera poses that learning the poses recovers.

    python -m benchmarks.pose_refinement                  the demo scene, 128 x 128, four scales
    python -m benchmarks.pose_refinement --data_dir path/to/lego --img_downscale 4

Every training camera is turned by `--degrees` about a random axis, and moved by `--shift` times
the scene box's side. Three models learn from the true poses, from the wrong ones as they are, and
from the wrong ones with `pose_learning_rate`. A scene learned from wrong poses is displaced a
little as a whole. So the true test cameras are moved to it by the rigid motion that fits the
training cameras best, for wrong and for refined poses. Prints a table and JSON, with the remaining
error of the poses: the distance by which cameras misplace points of the scene.
"""

from __future__ import annotations

import dataclasses
import json
import math

import torch
from torch.nn.functional import normalize

from taichi_pynerf import PyNeRF, PyNeRFConfig, runtime
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.data.datasets import MultiScaleDataset
from taichi_pynerf.evaluation.evaluation import evaluate
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.runs.scene_source import MULTISCALE, SceneSource
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.training.pose_refinement import PoseRefinement
from taichi_pynerf.training.scene_fit import fit_to_scene


def perturbed(cameras: Cameras, degrees: float, shift: float, seed: int) -> Cameras:
    """The cameras, each turned by an angle and moved by a distance, both in random directions."""
    wrong, generator = PoseRefinement(cameras), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter, size in ((wrong.rotations, math.radians(degrees)), (wrong.shifts, shift)):
            directions = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(size * normalize(directions, dim=-1))
    return wrong.refined(cameras)


@dataclasses.dataclass(frozen=True)
class Motion:
    """The rigid motion of a scene that was learned from other poses than the true ones.

    Attributes:
        turn, shift: [3, 3] and [3]; a point x goes to turn @ x + shift.
        residual: mean distance by which cameras misplace points after this motion, world units:
            the error of the poses that no common motion explains.
    """

    turn: torch.Tensor
    shift: torch.Tensor
    residual: float

    def of(self, cameras: Cameras) -> Cameras:
        """The cameras, moved along with the scene."""
        c2w = self.turn @ cameras.c2w
        c2w[:, :, 3] += self.shift
        return dataclasses.replace(cameras, c2w=c2w)


def scene_motion(true: Cameras, found: Cameras, box: SceneBox) -> Motion:
    """The motion of a scene that was learned from the poses `found` in place of `true`.

    A camera with another pose shows the corners of the scene box elsewhere. The rigid motion that
    fits all of these displacements best (Kabsch 1976) is that of the scene.
    """
    signs = torch.cartesian_prod(*[torch.tensor([-0.25, 0.25])] * 3)
    corners = torch.tensor(box.center) + box.size * signs
    local = (corners - true.c2w[:, None, :, 3]) @ true.c2w[:, :, :3]
    shown = local @ found.c2w[:, :, :3].transpose(1, 2) + found.c2w[:, None, :, 3]
    source, target = corners.expand_as(shown).reshape(-1, 3), shown.reshape(-1, 3)
    middle, goal = source.mean(0), target.mean(0)
    u, _, vh = torch.linalg.svd((target - goal).T @ (source - middle))
    mirror = torch.diag(torch.tensor([1.0, 1.0, float(torch.linalg.det(u @ vh).sign())]))
    turn = u @ mirror @ vh
    shift = goal - turn @ middle
    residual = (target - source @ turn.T - shift).norm(dim=-1).mean()
    return Motion(turn, shift, float(residual))


def trained(dataset: MultiScaleDataset, seed: int, **settings) -> MultiScaleTrainer:
    """A trainer that has finished; transparent pixels carve nothing, as poses may be wrong."""
    config = PyNeRFConfig.preset("cpu", carve=False, val_interval=0, seed=seed, **settings)
    trainer = MultiScaleTrainer(PyNeRF(fit_to_scene(config, dataset)), train_dataset=dataset)
    trainer.train()
    return trainer


def psnr_of(trainer: MultiScaleTrainer, test_set: MultiScaleDataset, num_test: int) -> float:
    per_scale = len(test_set) // len(MULTISCALE)
    step = max(1, per_scale // num_test)
    return evaluate(trainer.model.eval(), test_set, range(0, len(test_set), step))["psnr"]


def build_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--data_dir", help="scene folder; the built-in demo scene if absent")
    parser.add_argument("--img_downscale", type=int, default=2)
    parser.add_argument("--degrees", type=float, default=1.0, help="turn of every camera")
    parser.add_argument("--shift", type=float, default=0.01, help="in sides of the scene box")
    parser.add_argument("--pose_learning_rate", type=float, default=2e-3)
    parser.add_argument("--max_steps", type=int, default=600)
    parser.add_argument("--num_test", type=int, default=8, help="test views, about so many")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main(argv: list[str]) -> None:
    args = build_parser().parse_args(argv)
    backend = runtime.start()
    source = SceneSource(args.data_dir, img_downscale=args.img_downscale, multiscale=True)
    train_set, test_set = source.load("train"), source.load("test")
    true_train, true_test = train_set.cameras, test_set.cameras
    box = SceneBox(train_set.aabb)
    wrong = perturbed(true_train, args.degrees, args.shift * box.size, args.seed)

    print(f"{backend}, {runtime.device_name()}; {args.max_steps} steps, mean of four scales")
    found, off = {}, {}
    for name, cameras, rate in (
        ("true poses", true_train, 0.0),
        ("wrong poses", wrong, 0.0),
        ("wrong poses, refined", wrong, args.pose_learning_rate),
    ):
        train_set.cameras = cameras
        trainer = trained(train_set, args.seed, max_steps=args.max_steps, pose_learning_rate=rate)
        learned = cameras if trainer.poses is None else trainer.poses.refined(cameras)
        motion = scene_motion(true_train, learned, box)
        test_set.cameras = motion.of(true_test)
        found[name] = psnr_of(trainer, test_set, args.num_test)
        off[name] = motion.residual / box.size
        print(f"{name:24} {found[name]:6.2f} dB, {off[name]:.2%} of the box off", flush=True)
    lost = found["true poses"] - found["wrong poses"]
    regained = (found["wrong poses, refined"] - found["wrong poses"]) / lost
    print(f"regained: {regained:.0%} of {lost:.2f} dB")
    print(json.dumps({**vars(args), "psnr": found, "off": off, "regained": regained}))


if __name__ == "__main__":
    run(main)
