"""Which samples a step trains: those that light reaches, and of those that hardly count some."""

import pytest
import torch

from taichi_pynerf.model.samples import density_for_all, thinned
from taichi_pynerf.ops.ray_march import Samples


def packed(counts):
    """Samples of rays with so many of them; where they are does not matter here."""
    counts = torch.tensor(counts)
    rays = torch.arange(len(counts)).repeat_interleave(counts).int()
    packed_info = torch.stack([counts.cumsum(0) - counts, counts], -1).int()
    t = torch.arange(len(rays)).float()
    return Samples(t, t + 1, rays, packed_info)


COUNTS = [3, 0, 40, 1, 0, 17, 0]


def random_shares(seed):
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(sum(COUNTS), generator=generator) ** 3
    shares[::7] = 1.0
    shares[3::11] = 0.0
    return shares, torch.rand(len(COUNTS), generator=generator)


@pytest.mark.parametrize("seed", range(20))
def test_a_ray_keeps_as_many_samples_as_its_shares_add_up_to(seed):
    samples = packed(COUNTS)
    shares, offsets = random_shares(seed)
    kept = thinned(shares, samples, offsets)
    for first, count in samples.packed_info.tolist():
        own = slice(first, first + count)
        assert abs(kept[own].sum() - shares[own].sum()) < 1
    assert kept[shares == 1].all()
    assert not kept[shares == 0].any()


def test_each_sample_stays_as_often_as_its_share_says():
    samples, (shares, _) = packed(COUNTS), random_shares(0)
    tries = 1000
    offsets = (torch.arange(tries) + 0.5) / tries  # of all rays alike: each ray is on its own
    stayed = sum(thinned(shares, samples, x.expand(len(COUNTS))).double() for x in offsets)
    assert (stayed / tries - shares).abs().max() <= 1.01 / tries


def test_the_rays_of_a_batch_do_not_depend_on_one_another():
    samples, (shares, offsets) = packed(COUNTS), random_shares(1)
    together = thinned(shares, samples, offsets)
    for ray, (first, count) in enumerate(samples.packed_info.tolist()):
        own = slice(first, first + count)
        alone = thinned(shares[own], packed([count]), offsets[ray : ray + 1])
        assert torch.equal(alone, together[own])


def test_what_is_not_a_number_stays_so_that_the_loss_tells():
    samples, (shares, offsets) = packed(COUNTS), random_shares(2)
    shares[20] = torch.nan
    assert thinned(shares, samples, offsets)[20]


def test_without_samples_there_is_nothing_to_thin():
    kept = thinned(torch.zeros(0), packed([0, 0]), torch.rand(2))
    assert kept.shape == (0,)
    assert kept.dtype == torch.bool


@pytest.mark.float64
def test_the_opacity_of_those_that_stay_has_the_mean_of_all():
    samples = packed([5])
    samples = samples._replace(t_starts=samples.t_starts.double(), t_ends=samples.t_ends.double())
    shares = torch.tensor([1.0, 0.5, 0.1, 0.02, 0.01], dtype=torch.float64)
    sigmas = torch.tensor([80.0, 0.25, 0.04, 0.01, 0.003], dtype=torch.float64, requires_grad=True)
    with_all = density_for_all(sigmas, shares, samples)
    opacity = -torch.expm1(-with_all)
    assert torch.allclose(shares * opacity, -torch.expm1(-sigmas), rtol=1e-9, atol=0)
    assert with_all[0] == sigmas[0]
    assert torch.autograd.gradcheck(lambda x: density_for_all(x, shares, samples), sigmas)
