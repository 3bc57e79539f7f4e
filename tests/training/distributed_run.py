"""One of the processes of `test_distributed`: trains the ball and writes what it saw.

torchrun … distributed_run.py FOLDER
"""

import json
import sys
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny import ball_scene, tiny_model

from taichi_pynerf import PyNeRFTrainer, runtime
from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.model import proposals
from taichi_pynerf.training.distributed import Workers, join

import torch  # isort: skip  (after the package, which sets the thread policy)

SETTINGS = {
    "max_steps": 24, "samples_per_batch": 1500, "background": "random", "cull_hidden": 1e-3,
    "thin_below": 0.05, "learning_rate": 1e-2,
}  # fmt: skip


# The small field learns in steps 0, 3, 7 and 11 of these.
SELDOM = {"sampler": "proposal", "proposal_interval": 4, "max_steps": 12, "thin_below": 0.0}


def trained(workers: Workers, folder: Path | None = None, **changes) -> dict:
    """Losses and rays of all steps, and the weights and grids that they led to."""
    model = tiny_model(**{**SETTINGS, **changes})
    dataset = PyNeRFDataset.from_scene(ball_scene(num_views=8))
    trainer = PyNeRFTrainer(
        model, None, dataset, output_dir=folder, progress=False, workers=workers
    )
    seen = []
    with patch.object(proposals, "FIRST_LESSONS", 1):
        trainer.train(
            on_step=lambda _, figures: seen.append(
                [figures[name] for name in ("loss", "psnr", "num_rays", "num_samples")]
            )
        )
    moments = trainer.optimizers["networks"].state_dict()["state"]
    state = {name: tensor.tolist() for name, tensor in model.state_dict().items()
             if "heads" in name or name == "occupancy.density"}  # fmt: skip
    return {"steps": seen, "state": state,
            "adam_steps": [[number, int(moments[number]["step"])] for number in sorted(moments)],
            "table": model.field.encoders[0].table.tolist(),
            "level_min": float(model.trained_levels.level_min.clamp_max(9).sum())}  # fmt: skip


if __name__ == "__main__":
    workers = join(runtime.start("cpu"))
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    result = trained(workers, out / f"run{workers.rank}")
    result["seldom"] = trained(workers, **SELDOM)
    (out / f"{workers.rank}.json").write_text(json.dumps(result))
    workers.close()
