"""Rows of the quality protocol that train for some steps, on scenes of a few pixels."""

from tiny import tiny_config

from benchmarks.quality.row_runs import run_row
from benchmarks.quality.rows import Images, Row
from taichi_pynerf.config import PyNeRFConfig

_TINY = tiny_config().to_dict()
SETTINGS = {
    name: _TINY[name]
    for name in _TINY
    if _TINY[name] != getattr(PyNeRFConfig(), name)
    and name not in ("max_steps", "val_interval", "aabb")
} | {"samples_per_batch": 0}
FILES = Images("noise", scales=(1, 2))
DEMO = Images(
    "demo", resolution=16, num_train=4, scales=(1, 2),
    train_distances=(2.6,), test_distances=(2.6, 5.2),
)  # fmt: skip


def tiny_row(images=FILES, settings=None, **changes):
    changes = {"max_steps": 6, "num_test": 2, **changes}
    return Row("demo-steps", "tiny", images, {**SETTINGS, **(settings or {})}, **changes)


def run_tiny(rows, name, folder, data_dir=None, seed=0):
    return run_row(name, folder, data_dir, seed, rows=rows, progress=False)


def made_up_result(row, seed, psnr):
    figures = {"psnr": psnr, "ssim": 0.9, "mse": 10 ** (-psnr / 10)}
    return {
        "row": row,
        "seed": seed,
        "declared": {"label": row},
        "steps": 10,
        "train_seconds": 1.0,
        "commit": "0123456789",
        "changed_files": "",
        "machine": {"device": "a processor"},
        "tests": {"test": {"scales": {"1": figures, "2": {**figures, "psnr": psnr + 2}}}},
    }
