"""What an image costs at full size and at 1/2, 1/4 and 1/8 of it, and how good it is.

    python -m benchmarks.render_scales RUN_OR_FILE

An eighth has a 64th of the rays; each of them is wider, asks coarser levels, and costs no more, so
that the image costs less than a 32nd. All scales render the same views in one process, in turn, and
medians are printed as a table and as JSON.
"""

import argparse
import json
import statistics
import time

from taichi_pynerf import runtime
from taichi_pynerf.evaluation import render_view
from taichi_pynerf.metrics import compute_psnr
from taichi_pynerf.runs import open_run

SCALES = (1, 2, 4, 8)


def measure(run_or_file: str, split: str, num_views: int, repeats: int) -> dict[str, dict]:
    """{scale: {"milliseconds", "rays", "psnr"}}, medians over repeats of means over views."""
    run = open_run(run_or_file)
    dataset = run.source.load(split, SCALES)
    of_scale = {k: (dataset.scales == k).nonzero().squeeze(1).tolist() for k in SCALES}
    views = {k: indices[:: max(1, len(indices) // num_views)][:num_views]
             for k, indices in of_scale.items()}  # fmt: skip
    times = {k: [] for k in SCALES}
    psnr = {}
    for repeat in range(repeats + 1):
        for k, indices in views.items():
            start = time.perf_counter()
            images = [render_view(run.model, dataset, i)["rgb"] for i in indices]
            if repeat:  # the first round compiles
                times[k].append(1e3 * (time.perf_counter() - start) / len(indices))
            else:
                values = [compute_psnr(image, dataset.image(i))
                          for image, i in zip(images, indices, strict=True)]  # fmt: skip
                psnr[k] = statistics.fmean(values)
    return {
        str(k): {
            "milliseconds": statistics.median(times[k]),
            "rays": int(dataset.cameras.width[views[k][0]] * dataset.cameras.height[views[k][0]]),
            "psnr": psnr[k],
        }
        for k in SCALES
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", metavar="RUN_OR_FILE")
    parser.add_argument("--split", default="test")
    parser.add_argument("--num_views", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    backend = runtime.start()
    found = measure(args.checkpoint, args.split, args.num_views, args.repeats)
    full = found["1"]["milliseconds"]
    print(f"{backend}, {runtime.device_name()}; an image in ms, median of {args.repeats} rounds")
    print("scale     rays        ms   share of full   PSNR [dB]")
    for scale, values in found.items():
        share = full / values["milliseconds"]
        print(
            f"1/{scale:<4} {values['rays']:8d} {values['milliseconds']:9.1f}   1/{share:<11.1f} "
            f"{values['psnr']:9.2f}"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
