"""Rounds of rays: all rays finish, few at a time, and the first ones first."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.model import ray_rounds
from taichi_pynerf.model.ray_rounds import RayChunks, RayRounds

NEAR = 2.0


def rays_of(num_rays):
    """Rays that are identified by their origins."""
    rays_o = torch.arange(float(num_rays)).unsqueeze(1).repeat(1, 3)
    bounds = torch.tensor([[NEAR, 1e9]]).repeat(num_rays, 1)
    return Rays(rays_o, torch.ones_like(rays_o), torch.ones(num_rays), bounds)


class Marcher:
    """Marches rays of known numbers of samples; each sample of ray r gives r + 1 to every sum."""

    def __init__(self, lengths):
        self.lengths, self.rounds = torch.tensor(lengths), []
        self.done = torch.zeros(len(lengths), dtype=torch.int64)

    def __call__(self, rays, jitter, step, max_samples, light):
        index = rays.rays_o[:, 0].long()
        self.rounds.append((index.tolist(), max_samples))
        # On the same lattice: a ray begins in the middle of a step, and goes on where it ended.
        torch.testing.assert_close(rays.bounds[:, 0], NEAR + self.done[index] * step)
        assert torch.equal(jitter, torch.where(self.done[index] == 0, 0.5, 0.0))
        assert torch.equal(light, 1 - self.done[index] * (index + 1.0))
        taken = (self.lengths[index] - self.done[index]).clamp_max(max_samples)
        self.done[index] += taken
        sums = (taken * (index + 1.0)).unsqueeze(1).repeat(1, 6)
        return sums, NEAR + self.done[index] * step, taken == max_samples


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=30),
    st.integers(1, 40),
    st.integers(1, 12),
)
def test_every_ray_is_marched_to_its_end(rays, at_once, most):
    lengths = [length for length, _ in rays]
    steps = torch.tensor([1.0 if wide else 0.5 for _, wide in rays])
    marcher = Marcher(lengths)
    work = RayRounds(rays_of(len(rays)), steps, marcher, at_once, most)
    done = [work.num_done]
    while not work.finished:
        begun = len(marcher.rounds)
        work.advance()
        rounds = marcher.rounds[begun:]
        assert sum(len(index) for index, _ in rounds) <= at_once
        assert all(max_samples <= most for _, max_samples in rounds)
        done.append(work.num_done)
        assert torch.equal(marcher.done[: done[-1]], marcher.lengths[: done[-1]])
    assert done == sorted(done)
    assert done[-1] == len(rays)
    expected = torch.tensor([length * (r + 1.0) for r, length in enumerate(lengths)])
    assert torch.equal(work.sums, expected.unsqueeze(1).repeat(1, 6))


@pytest.mark.parametrize("index", [slice(1, 4), torch.tensor([1, 2, 3])])
def test_the_rays_that_are_given_stay_as_they_are(index):
    rays = rays_of(5)
    before, some = rays.bounds.clone(), rays[index]
    work = RayRounds(some, torch.ones(3), Marcher([9, 9, 9, 9, 9]), at_once=2, most=4)
    while not work.finished:
        work.advance()
    assert torch.equal(rays.bounds, before)
    assert torch.equal(some.bounds, before[1:4])


def test_rays_set_out_as_others_end():
    marcher = Marcher([40, 1, 1, 1, 1, 1])
    work = RayRounds(rays_of(6), torch.ones(6), marcher, at_once=2, most=1000)
    work.advance()
    work.advance()
    assert [index for index, _ in marcher.rounds] == [[0, 1], [0, 2]]
    assert work.num_done == 0  # the first is still on its way
    while not work.finished:
        work.advance()
    assert work.num_done == 6


def test_the_last_rays_get_more_samples_a_round(monkeypatch):
    monkeypatch.setattr(ray_rounds, "BUSY_SAMPLES", 96)
    marcher = Marcher([3] * 15 + [150])
    work = RayRounds(rays_of(16), torch.ones(16), marcher, at_once=16, most=1000)
    while not work.finished:
        work.advance()
    assert [max_samples for _, max_samples in marcher.rounds] == [6, 96, 96]


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_chunks_are_rendered_in_order(at_once):
    asked = []

    def render(rays):
        asked.append(rays.rays_o[:, 0].tolist())
        return rays.rays_o[:, :1].repeat(1, 6)

    work = RayChunks(rays_of(7), render, at_once)
    while not work.finished:
        work.advance()
        assert work.num_done == sum(map(len, asked))
    assert [ray for chunk in asked for ray in chunk] == list(range(7))
    assert max(map(len, asked)) == min(at_once, 7)
    assert torch.equal(work.sums[:, 0], torch.arange(7.0))
    assert RayChunks(rays_of(0), render, at_once).finished
