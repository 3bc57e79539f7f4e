"""Training from coarse to fine."""

from collections.abc import Mapping
from typing import Any

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.errors import CheckpointError
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.training.optimization.schedules import scale_at
from taichi_pynerf.training.trainer import PyNeRFTrainer


class MultiScaleTrainer(PyNeRFTrainer):
    """Trains from coarse to fine: first on the small images, later on the larger ones too.

    Args:
        scale_schedule: {first step: finest image scale in use}; all coarser scales stay in use.
            The default has all scales from the start.
    """

    def __init__(
        self,
        model: PyNeRF,
        config: PyNeRFConfig | None = None,
        train_dataset: Dataset | None = None,
        *args: Any,
        scale_schedule: Mapping[int, int] | None = None,
        **kwargs: Any,
    ):
        super().__init__(model, config, train_dataset, *args, **kwargs)
        self.scale_schedule = dict(scale_schedule or {0: 1})
        self.scales = sorted(set(self.train_dataset.scales.tolist()))
        scale_at(0, self.scale_schedule)  # fail now rather than at the first step

    def state_dict(self) -> dict:
        return {**super().state_dict(), "scale_schedule": self.scale_schedule}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        schedule = state.get("scale_schedule")
        whole = isinstance(schedule, dict) and 0 in schedule
        if not whole or {type(x) for pair in schedule.items() for x in pair} != {int}:
            raise CheckpointError("the checkpoint cannot be resumed: it has no scale_schedule")
        self.scale_schedule = schedule

    def before_step(self) -> None:
        finest = scale_at(self.step, self.scale_schedule)
        active = tuple(scale for scale in self.scales if scale >= finest) or (self.scales[-1],)
        if active != self.train_dataset.active_scales:
            self.train_dataset.set_active_scales(active)
