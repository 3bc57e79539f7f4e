"""The mean of all learned weights over the last part of a training.

Steps of few pixels are noisy, and weights go on wandering around where they should be, the more the
greater the learning rate. Their mean over many steps lies closer than any of them (Polyak and
Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; Izmailov et al., "Averaging
Weights Leads to Wider Optima and Better Generalization", 2018). So the rate may stay greater to the
end, with which more is learned.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from taichi_pynerf.ops.residence import to_host

INTERVAL = 10  # steps from one set of weights that counts to the next


class WeightAverage:
    """The mean of some modules' parameters, while they go on learning.

    Args:
        parts: the modules.
        share: the part of the training, at its end, over which the mean is; 0: it stays empty.
    """

    def __init__(self, parts: Iterable[nn.Module], share: float):
        self.parameters = [parameter for part in parts for parameter in part.parameters()]
        self.share = share
        self.count = 0
        self.means: list[torch.Tensor] = []  # of `count` sets of weights

    @torch.no_grad()
    def note(self, step: int, progress: float) -> None:
        """Count the weights after a step in, if it is late enough.

        Args:
            step: number of steps done.
            progress: share of the training that is done.
        """
        if progress <= 1 - self.share:
            self.count, self.means = 0, []  # of a run that was resumed with a later end
            return
        if step % INTERVAL:
            return
        weights = [to_host(parameter).detach() for parameter in self.parameters]
        self.count += 1
        if self.count == 1:
            self.means = [weight.clone() for weight in weights]
        for mean, weight in zip(self.means, weights, strict=True):
            mean.lerp_(weight, 1 / self.count)

    def finish(self, progress: float) -> None:
        """If the training is done, `take`."""
        if progress >= 1:
            self.take()

    @torch.no_grad()
    def take(self) -> None:
        """Give the modules the mean, if there is one, and begin anew."""
        if self.count:
            for parameter, mean in zip(self.parameters, self.means, strict=True):
                to_host(parameter).copy_(mean)
        self.count, self.means = 0, []

    def state_dict(self) -> dict:
        """The mean so far, in tensors and plain values."""
        return {"count": self.count, "means": self.means}

    def load_state_dict(self, state: Any) -> None:
        """The inverse of `state_dict`; None, as in older checkpoints, is an empty mean.

        Raises:
            ValueError: it is of other parameters.
        """
        state = state or {"count": 0, "means": []}
        count, means = int(state["count"]), list(state["means"])
        own = self.parameters if count else []
        if count < 0 or [getattr(mean, "shape", None) for mean in means] != [p.shape for p in own]:
            raise ValueError("the averaged weights are of other parameters")
        self.count = count
        self.means = [
            mean.to(parameter.device, parameter.dtype)
            for mean, parameter in zip(means, own, strict=True)
        ]
