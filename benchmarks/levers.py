"""Settings that may speed training up, each beside the preset: ms of the same step.

The steps of all settings are made in turn, on the same rays, from the same weights.
"""

from __future__ import annotations

from benchmarks.harness import Options, Report, rows_of, time_calls
from benchmarks.workload import Workload, workload
from taichi_pynerf import PyNeRF, PyNeRFTrainer

LEVERS = {
    "preset": {},
    "mixed_precision": {"mixed_precision": True},
    "compile": {"compile": True},
    "no culling of hidden samples": {"cull_hidden": 0.0},
    "one head (single_level)": {"single_level": True},
    "pyramid loss": {"pyramid_loss_weight": 0.1},
}


def measure(options: Options) -> Report:
    work = workload(options)
    num_rays = work.trainer.num_rays
    report = Report(f"one training step of {num_rays} rays")
    calls = {name: trainer_with(work, changes).train_step for name, changes in LEVERS.items()}
    found = time_calls(calls, options.rounds(25), warm_up=3)
    report.tables["settings"] = rows_of(found, "preset")
    for name, timing in found.items():
        report.findings[f"{name}: share of the preset's time"] = (
            timing.median / found["preset"].median
        )
    return report


def trainer_with(work: Workload, changes: dict) -> PyNeRFTrainer:
    """A trainer whose model has the same weights and grids, as far as it has the same parts.

    The model hardly changes: the learning rate is tiny, and the grid is not measured again.
    """
    config = work.trainer.config.replace(
        samples_per_batch=0, batch_size=work.trainer.num_rays, learning_rate=1e-30,
        occupancy_interval=10**6, **changes,
    )  # fmt: skip
    model = PyNeRF(config)
    known = model.state_dict()
    given = work.model.state_dict()
    model.load_state_dict({k: given[k] if k in given and given[k].shape == v.shape else v
                           for k, v in known.items()})  # fmt: skip
    trainer = PyNeRFTrainer(model, config, work.trainer.train_dataset, progress=False)
    trainer.step = 1
    return trainer
