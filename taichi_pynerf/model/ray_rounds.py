"""Rays followed through a scene in rounds, each large enough to be fast."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from taichi_pynerf.geometry.rays import Rays

SAMPLES_PER_RAY = 6  # least number of samples that a round takes of each ray
BUSY_SAMPLES = 2**16  # samples that keep the machine busy: few rays get more samples each


class RayRounds:
    """N rays. Each round takes a few samples of every ray that is not opaque yet.

    Samples behind the surface that ends a ray are wasted, so rounds are short. Rounds of few rays
    are slow, so new rays start as soon as others have ended. They start in the order given.

    Args:
        rays: the N rays.
        steps: their step lengths, [N] of which only a few differ, or one number.
        march_on: takes K rays, their jitter [K], a step length, the greatest number of samples per
            ray, and the light [K] that is left to them. It returns their sums [K, 6], the distances
            where they stopped [K], and which of them go on, bool [K].
        at_once: greatest number of rays under way.
        most: greatest number of samples per ray in one round.

    Attributes:
        sums: [N, 6] sums so far: rgb, opacity, distance, level.
    """

    def __init__(
        self, rays: Rays, steps: torch.Tensor | float, march_on: Callable, at_once: int, most: int
    ):
        self._rays, self._march_on = rays, march_on
        self._at_once, self._most = at_once, most
        device = rays.rays_o.device
        self._steps = torch.as_tensor(steps, device=device)
        self._lengths = [steps] if isinstance(steps, float) else steps.unique().tolist()
        self.sums = torch.zeros(len(rays), 6, device=device)
        self._bounds = rays.bounds.clone()  # of the rest of each ray
        self._jitter = torch.full((len(rays),), 0.5, device=device)
        self._alive = torch.empty(0, dtype=torch.int64, device=device)
        self._begun = 0

    @property
    def num_done(self) -> int:
        """Number of rays before the first one that has not ended. The device has to tell."""
        return int(self._alive[0]) if len(self._alive) else self._begun

    @property
    def num_ended(self) -> int:
        """Number of rays that have ended, wherever they stand."""
        return self._begun - len(self._alive)

    @property
    def finished(self) -> bool:
        """Whether all rays have ended."""
        return len(self._alive) == 0 and self._begun == len(self._rays)

    @torch.no_grad()
    def advance(self) -> None:
        """One round."""
        begun = min(len(self._rays), self._begun + self._at_once - len(self._alive))
        new = torch.arange(self._begun, begun, device=self._alive.device)
        alive, self._begun = torch.cat([self._alive, new]), begun
        per_ray = min(BUSY_SAMPLES, SAMPLES_PER_RAY * self._at_once) // max(len(alive), 1)
        per_ray = min(max(per_ray, SAMPLES_PER_RAY), self._most)
        going_on = [self._round(index, step, per_ray) for index, step in self._by_step(alive)]
        self._alive = torch.cat(going_on).sort().values if len(going_on) > 1 else going_on[0]

    def _by_step(self, alive: torch.Tensor) -> list[tuple[torch.Tensor, float]]:
        """The rays of each step length."""
        if len(self._lengths) == 1:
            return [(alive, self._lengths[0])]
        steps = self._steps.index_select(0, alive)
        return [(alive[steps == length], length) for length in self._lengths]

    def _round(self, index: torch.Tensor, step: float, per_ray: int) -> torch.Tensor:
        """March some rays on; returns those that have not ended."""
        rays = dataclasses.replace(self._rays[index], bounds=self._bounds[index])
        light = 1 - self.sums[index, 3]
        gathered, t_next, goes_on = self._march_on(rays, self._jitter[index], step, per_ray, light)
        self.sums.index_add_(0, index, gathered)
        # The next round continues on the same lattice of steps.
        self._bounds[index, 0], self._jitter[index] = t_next, 0.0
        return index.index_select(0, goes_on.nonzero().squeeze(-1))


class RayChunks:
    """N rays that are rendered in chunks, from the first to the last.

    Args:
        rays: the N rays.
        render: maps K rays to their sums [K, 6].
        at_once: greatest K.

    Attributes:
        sums, num_done, num_ended: as in `RayRounds`.
    """

    def __init__(self, rays: Rays, render: Callable[[Rays], torch.Tensor], at_once: int):
        self._at_once, self.num_done = at_once, 0
        self._rays, self._render = rays, render
        self.sums = torch.zeros(len(rays), 6, device=rays.rays_o.device)

    @property
    def num_ended(self) -> int:
        return self.num_done

    @property
    def finished(self) -> bool:
        """Whether all rays are done."""
        return self.num_done == len(self._rays)

    @torch.no_grad()
    def advance(self) -> None:
        """One chunk."""
        last = min(self.num_done + self._at_once, len(self._rays))
        self.sums[self.num_done : last] = self._render(self._rays[self.num_done : last])
        self.num_done = last
