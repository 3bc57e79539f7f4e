"""Shimmer of a film: a dolly from far to near, compared with frames without aliasing.

    python -m benchmarks.shimmer RUN_OR_FILE [RUN_OR_FILE …]

Detail smaller than a pixel comes and goes from frame to frame. The eye sees the change of a pixel's
error, while a constant error, such as a blur, does not flicker. Shimmer is
the root mean square of this change over pixels, channels and neighbouring frames, in 255ths:

    shimmer^2 = mean of ((image[f + 1] - truth[f + 1]) - (image[f] - truth[f]))^2

The truth is ray-traced with many rays in each pixel where the runs are of the demo scene; else
it is the run's own film with K x K rays in each pixel. Printed as a table and as JSON.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from taichi_pynerf import runtime
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.demo.scene import CAMERA_ANGLE_X
from taichi_pynerf.demo.still_life import still_life
from taichi_pynerf.demo.tracer import DemoRenderer
from taichi_pynerf.model.images import RenderOptions, render_path
from taichi_pynerf.rendering.camera_paths import camera_path, path_cameras
from taichi_pynerf.rendering.view_sets import ViewSet, path_views
from taichi_pynerf.runs.runs import Run, open_run

PARTS = ("far", "middle", "near")  # thirds of the dolly


def film(opened: Run, views: ViewSet, supersample: int = 1) -> Iterator[torch.Tensor]:
    """The frames [H, W, 3] of a run's film."""
    options = RenderOptions(supersample=supersample)
    frames = render_path(
        opened.model, views.cameras, views.near, views.far, views.background, options, progress=True
    )
    return (frame["rgb"] for frame in frames)


def traced_film(views: ViewSet, samples_per_pixel: int) -> Iterator[torch.Tensor]:
    """The same film of the demo scene itself."""
    renderer = DemoRenderer(still_life())
    for c2w in views.cameras.c2w:
        pose = np.eye(4)
        pose[:3] = c2w
        rgba = renderer.render(
            pose,
            resolution=int(views.cameras.width[0]),
            camera_angle_x=CAMERA_ANGLE_X,
            samples_per_pixel=samples_per_pixel,
            seed=0,
        )
        rgba = torch.from_numpy(rgba)
        yield rgba[..., :3] + (1 - rgba[..., 3:]) * views.background


def shimmer(images: Iterator[torch.Tensor], truth: Iterator[torch.Tensor]) -> dict[str, float]:
    """{"far", "middle", "near", "all": shimmer in 255ths; "psnr": of the film} of F frames."""
    errors = torch.stack([a - b for a, b in zip(images, truth, strict=True)])
    changes = errors.diff(dim=0).square().mean((1, 2, 3))  # [F - 1]
    values = dict(zip(PARTS, (part.mean() for part in changes.tensor_split(3)), strict=True))
    values["all"] = changes.mean()
    found = {name: 255 * math.sqrt(value) for name, value in values.items()}
    return {**found, "psnr": -10 * math.log10(float(errors.square().mean()))}


def main(argv: list[str]) -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN_OR_FILE")
    parser.add_argument("--num_frames", type=int, default=72)
    parser.add_argument("--size", type=int, default=96, help="width and height in pixels")
    parser.add_argument("--supersample", type=int, default=8, help="K: K x K rays for the truth")
    args = parser.parse_args(argv)
    runtime.start()
    found = {}
    for path in args.runs:
        opened = open_run(path)
        dataset = opened.source.load("train", [1])
        poses = camera_path("zoom", dataset.cameras.c2w, args.num_frames)
        cameras = path_cameras(dataset.cameras, poses, args.size, args.size)
        views = path_views(dataset, cameras, "frames")
        if opened.source.data_dir is None:
            truth = traced_film(views, args.supersample**2)
        else:
            truth = film(opened, views, args.supersample)
        found[str(Path(path))] = shimmer(film(opened, views), truth)
    print("shimmer [1/255]" + "".join(f"{part:>9}" for part in (*PARTS, "all")) + "  PSNR [dB]")
    for path, values in found.items():
        row = "".join(f"{values[part]:9.2f}" for part in (*PARTS, "all"))
        print(f"{Path(path).name:15}{row}{values['psnr']:11.2f}")
    print(json.dumps(found))


if __name__ == "__main__":
    run(main)
