"""Results of rendering: pixels, and for training the samples behind them."""

import dataclasses

import torch

from taichi_pynerf.model.field_values import FieldOutputs
from taichi_pynerf.model.proposals import Proposed
from taichi_pynerf.ops.ray_march import Samples

LEAST_SEEN = 1e-6  # opacity below which mean distances fade to 0


@dataclasses.dataclass(frozen=True)
class Rendered:
    """Rendered pixels of N rays.

    Attributes:
        rgb: [N, 3] colour over black; for another background add (1 - acc) * background.
        depth: [N] mean distance, world units, weighted by opacity; 0 where nothing is.
        acc: [N] opacity in [0, 1].
        level: [N] mean pyramid level of what is seen, weighted by opacity.
    """

    rgb: torch.Tensor
    depth: torch.Tensor
    acc: torch.Tensor
    level: torch.Tensor

    @classmethod
    def of(cls, sums: torch.Tensor) -> "Rendered":
        """From [N, 6] weighted sums along rays: rgb, opacity, distance, level."""
        rgb, acc, depth, level = sums.split([3, 1, 1, 1], 1)
        seen = acc.clamp_min(LEAST_SEEN)
        return cls(rgb, *(x.squeeze(-1) for x in (depth / seen, acc, level / seen)))


@dataclasses.dataclass(frozen=True)
class TrainingRender:
    """The result of one differentiable pass over a batch of rays, for the losses.

    Attributes:
        rgb, depth, acc: per ray, as in `Rendered`.
        weights: [M] compositing weights.
        samples: the M packed samples.
        positions: [M, 3] field positions of the samples.
        levels: [M] their pyramid levels.
        field: the field's values there.
        proposed: the results of the sampler "proposal"; None for other samplers.
    """

    rgb: torch.Tensor
    depth: torch.Tensor
    acc: torch.Tensor
    weights: torch.Tensor
    samples: Samples
    positions: torch.Tensor
    levels: torch.Tensor
    field: FieldOutputs
    proposed: Proposed | None = None
