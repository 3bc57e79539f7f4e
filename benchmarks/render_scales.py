"""Cost and quality of an image at full size and at 1/2, 1/4 and 1/8 of it.

An eighth has a 64th of the rays. Each of them is wider, uses coarser levels and costs no more, so
the image costs less than a 32nd. All scales render the same views in turn. The scene is the
checkpoint's, at all four scales.
"""

from __future__ import annotations

import statistics

from benchmarks.harness import Options, Report, time_calls
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.evaluation.evaluation import render_view
from taichi_pynerf.evaluation.metrics import compute_psnr
from taichi_pynerf.runs.runs import open_run

SCALES = (1, 2, 4, 8)
NUM_VIEWS = 4


def measure(options: Options) -> Report:
    if options.checkpoint is None:
        raise ConfigError("render_scales measures a trained run: name it by --checkpoint")
    run = open_run(options.checkpoint, options.data_dir)
    dataset = run.source.load("test", SCALES)
    of_scale = {k: (dataset.scales == k).nonzero().squeeze(1).tolist() for k in SCALES}
    views = {k: indices[:: max(1, len(indices) // NUM_VIEWS)][:NUM_VIEWS]
             for k, indices in of_scale.items()}  # fmt: skip

    def images(k):
        return [render_view(run.model, dataset, i)["rgb"] for i in views[k]]

    psnr = {
        k: statistics.fmean(compute_psnr(image, dataset.image(i))
                            for image, i in zip(images(k), views[k], strict=True))
        for k in SCALES
    }  # fmt: skip
    found = time_calls({str(k): lambda k=k: images(k) for k in SCALES}, options.rounds(3), 0)
    full = found["1"].median
    report = Report(f"{NUM_VIEWS} views at each scale, ms an image")
    report.tables["scales"] = [
        {
            "scale": f"1/{k}",
            "rays": int(dataset.cameras.width[views[k][0]] * dataset.cameras.height[views[k][0]]),
            "median ms": found[str(k)].median / NUM_VIEWS,
            "min ms": found[str(k)].least / NUM_VIEWS,
            "max ms": found[str(k)].greatest / NUM_VIEWS,
            "PSNR dB": psnr[k],
        }
        for k in SCALES
    ]
    for k in SCALES[1:]:
        report.findings[f"full size costs times 1/{k}"] = full / found[str(k)].median
    return report
