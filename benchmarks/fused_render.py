"""Rendering one image: samples packed for torch's networks, or all in one kernel.

    python -m benchmarks.fused_render --checkpoint outputs/lego [--backend cpu] [--img_downscale 2]

Both render the same rays of a test view; the difference of their pixels and the median of three
frames each are printed, as a table and as JSON.
"""

import argparse
import json
import statistics
import time

from taichi_pynerf import load_pyramid_model, runtime
from taichi_pynerf.checkpoint import read_checkpoint
from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.evaluation import render_image


def frame_seconds(model, dataset, view: int, repeats: int = 3):
    """The image, and the median time of a frame after one that is not counted."""
    image, times = render_image(model, dataset, view)["rgb"], []
    for _ in range(repeats):
        start = time.perf_counter()
        render_image(model, dataset, view)
        times.append(time.perf_counter() - start)
    return image, statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data_dir", help="the checkpoint's own scene if absent")
    parser.add_argument("--backend", choices=runtime.BACKENDS, default="auto")
    parser.add_argument("--img_downscale", type=int, default=1)
    parser.add_argument("--view", type=int, default=0)
    args = parser.parse_args()
    backend = runtime.start(args.backend)
    model, config = load_pyramid_model(None, args.checkpoint)
    model.eval()
    dataset = PyNeRFDataset(
        data_dir=args.data_dir or read_checkpoint(args.checkpoint)["scene"]["data_dir"],
        split="test",
        img_downscale=args.img_downscale,
        white_background=config.background == "white",
    )
    model.renderer.fused = None
    packed, packed_seconds = frame_seconds(model, dataset, args.view)
    model.renderer.fuse()
    fused, fused_seconds = frame_seconds(model, dataset, args.view)
    results = {
        "backend": backend,
        "device": runtime.device_name(),
        "height": packed.shape[0],
        "width": packed.shape[1],
        "packed_seconds": packed_seconds,
        "fused_seconds": fused_seconds,
        "max_difference": float((packed - fused).abs().max()),
    }
    print(f"{results['width']} x {results['height']} pixels, {backend}, {results['device']}")
    print(f"  packed samples, torch's networks  {packed_seconds:8.3f} s")
    print(f"  one kernel                        {fused_seconds:8.3f} s")
    print(f"  greatest difference of a pixel    {results['max_difference']:8.1e}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
