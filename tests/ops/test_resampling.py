import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taichi_pynerf.ops.resampling import sample_pdf
from taichi_pynerf.reference import resampling as reference


def random_inputs(generator, num_rays=50, num_bins=16, num_samples=32, dtype=torch.float32):
    widths = 0.05 + torch.rand(num_rays, num_bins + 1, generator=generator, dtype=dtype)
    bins = 2 + widths.cumsum(dim=1)
    weights = 0.01 + torch.rand(num_rays, num_bins, generator=generator, dtype=dtype)
    u = torch.rand(num_rays, num_samples, generator=generator, dtype=dtype)
    return bins, weights, u


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.float64)]
)
def test_matches_twin(generator, assert_matches, dtype):
    inputs = random_inputs(generator, dtype=dtype)
    assert_matches(sample_pdf(*inputs), reference.sample_pdf(*inputs))


@pytest.mark.float64
def test_matches_twin_where_most_bins_are_empty(generator, assert_matches):
    bins, weights, u = random_inputs(generator, dtype=torch.float64)
    weights[torch.rand(weights.shape, generator=generator) < 0.7] = 0
    weights[0] = 0
    # An empty bin is all but a jump of the inverse: only float64 can tell where in it u lands.
    assert_matches(sample_pdf(bins, weights, u), reference.sample_pdf(bins, weights, u))


def test_carries_no_gradient(generator):
    bins, weights, u = random_inputs(generator)
    assert not sample_pdf(bins, weights.requires_grad_(), u).requires_grad


def test_non_contiguous_inputs(generator, assert_matches):
    inputs = random_inputs(generator)
    strided = [tensor.T.contiguous().T for tensor in inputs]
    assert not any(tensor.is_contiguous() for tensor in strided)
    assert_matches(sample_pdf(*strided), sample_pdf(*inputs))


def test_no_rays_and_no_samples():
    assert sample_pdf(torch.zeros(0, 5), torch.zeros(0, 4), torch.zeros(0, 7)).shape == (0, 7)
    bins = torch.linspace(0, 1, 5).expand(3, 5)
    assert sample_pdf(bins, torch.ones(3, 4), torch.zeros(3, 0)).shape == (3, 0)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (0, torch.zeros(5, 8)),
        (0, torch.zeros(4, 9)),
        (0, torch.zeros(9)),
        (1, torch.zeros(5, 9)),
        (1, torch.zeros(5, 8, dtype=torch.float64)),
        (2, torch.zeros(6, 10)),
        (2, torch.zeros(10)),
        (2, torch.zeros(5, 10, dtype=torch.int64)),
    ],
)
def test_wrong_arguments(argument, value):
    arguments = [torch.linspace(0, 1, 9).repeat(5, 1), torch.ones(5, 8), torch.zeros(5, 10)]
    arguments[argument] = value
    with pytest.raises(ValueError, match=r"must|expected"):
        sample_pdf(*arguments)


quantiles = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=10)
masses = st.lists(st.floats(0, 10), min_size=1, max_size=10)


def float64(values):
    return torch.tensor(values, dtype=torch.float64)[None]


@settings(max_examples=25, deadline=None)
@given(quantiles, st.integers(1, 20), st.floats(0, 5))
@pytest.mark.float64
def test_even_weights_stretch_u_over_the_bins(u, num_bins, weight):
    bins = torch.linspace(2, 6, num_bins + 1, dtype=torch.float64)[None]
    weights = torch.full((1, num_bins), weight, dtype=torch.float64)
    torch.testing.assert_close(sample_pdf(bins, weights, float64(u)), 2 + 4 * float64(u))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 7), st.floats(0.01, 0.99))
@pytest.mark.float64
def test_a_single_heavy_bin_draws_the_samples(heavy, u):
    bins = torch.linspace(2, 6, 9, dtype=torch.float64)[None]
    weights = torch.zeros(1, 8, dtype=torch.float64)
    weights[0, heavy] = 1
    sample = float(sample_pdf(bins, weights, float64([u])))
    assert bins[0, heavy] <= sample <= bins[0, heavy + 1]


@settings(max_examples=25, deadline=None)
@given(masses, quantiles)
@pytest.mark.float64
def test_sorted_u_gives_sorted_samples_within_the_bins(weights, u):
    bins = torch.linspace(2, 6, len(weights) + 1, dtype=torch.float64)[None]
    samples = sample_pdf(bins, float64(weights), float64(sorted(u)))
    assert (samples.diff() >= 0).all()
    assert samples.min() >= 2
    assert samples.max() <= 6


@settings(max_examples=25, deadline=None)
@given(masses)
@pytest.mark.float64
def test_bins_draw_their_share(weights):
    num_samples = 4096
    bins = torch.linspace(0, len(weights), len(weights) + 1, dtype=torch.float64)[None]
    u = (torch.arange(num_samples, dtype=torch.float64) + 0.5)[None] / num_samples
    samples = sample_pdf(bins, float64(weights), u)
    shares = torch.histc(samples, bins=len(weights), min=0, max=len(weights)) / num_samples
    padded = float64(weights)[0] + reference.WEIGHT_PADDING
    torch.testing.assert_close(shares, padded / padded.sum(), rtol=0, atol=2 / num_samples)
