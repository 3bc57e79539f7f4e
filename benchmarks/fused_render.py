"""Rendering one image: samples packed for torch's networks, or all in one kernel.

    python -m benchmarks.fused_render --checkpoint outputs/demo [--backend cpu] [--scale 2]

Both render the same rays of a test view, in turns; the difference of their pixels and the median
of some frames each are printed, as a table and as JSON.
"""

import argparse
import json
import statistics
import time

from taichi_pynerf import runtime
from taichi_pynerf.evaluation.evaluation import render_view
from taichi_pynerf.model.renderer import PyramidRenderer
from taichi_pynerf.runs.runs import open_run


def compare(model, dataset, view: int, repeats: int) -> dict:
    """Median seconds of a frame in both ways, without the first, and their greatest difference.

    The ways take turns, so that other load on the machine affects both.
    """
    parts = (model.config, model.field, model.occupancy, model.trained_levels)
    renderers = {
        name: PyramidRenderer(*parts, fused=fused)
        for name, fused in (("packed", False), ("fused", True))
    }
    times, images = {name: [] for name in renderers}, {}
    for _ in range(1 + repeats):
        for name, renderer in renderers.items():
            model.renderer = renderer
            start = time.perf_counter()
            images[name] = render_view(model, dataset, view)["rgb"]
            times[name].append(time.perf_counter() - start)
    difference = (images["packed"] - images["fused"]).abs()
    height, width = images["packed"].shape[:2]
    return {
        "width": width,
        "height": height,
        "first_frame_seconds": {name: values[0] for name, values in times.items()},
        "seconds": {name: statistics.median(values[1:]) for name, values in times.items()},
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data_dir", help="the checkpoint's own scene if absent")
    parser.add_argument("--backend", choices=runtime.BACKENDS, default="auto")
    parser.add_argument("--scale", type=int, default=1, help="the image reduced so many times")
    parser.add_argument("--view", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    backend = runtime.start(args.backend)
    run = open_run(args.checkpoint, args.data_dir)
    dataset = run.source.load("test", [args.scale])
    results = {
        "backend": backend,
        "device": runtime.device_name(),
        **compare(run.model, dataset, args.view, args.repeats),
    }
    print(f"{results['width']} x {results['height']} pixels, {backend}, {results['device']}")
    print(f"  packed samples, torch's networks  {results['seconds']['packed']:8.3f} s")
    print(f"  one kernel                        {results['seconds']['fused']:8.3f} s")
    print(f"  greatest difference of a pixel    {results['max_difference']:8.1e}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
