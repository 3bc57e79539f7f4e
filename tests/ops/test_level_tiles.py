"""Samples in tiles of one level each, and the activations of what is computed there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taichi_pynerf.ops.level_tiles import activate, level_tiles
from taichi_pynerf.reference import level_tiles as reference

MAX_LOGIT = 15.0
FLOATS = [torch.float32, pytest.param(torch.float64, marks=pytest.mark.float64)]


def random_levels(generator, num_samples, num_levels, dtype=torch.float32):
    """Some of them beyond the ends, whole, or halfway between two levels."""
    levels = (num_levels + 1) * torch.rand(num_samples, generator=generator, dtype=dtype) - 1
    levels[::5] = levels[::5].round()
    levels[::7] = levels[::7].floor() + 0.5
    return levels


@pytest.mark.parametrize("two_heads", [True, False])
@pytest.mark.parametrize(("num_levels", "num_places"), [(8, 16), (1, 4), (5, 1), (16, 128)])
@pytest.mark.parametrize("num_samples", [1, 7, 500])
@pytest.mark.parametrize("dtype", FLOATS)
def test_tiles_match_twin(generator, dtype, num_samples, num_levels, num_places, two_heads):
    levels = random_levels(generator, num_samples, num_levels, dtype)
    found = level_tiles(levels, num_levels, two_heads, num_places)
    expected = reference.level_tiles(levels, num_levels, two_heads, num_places)
    names = ("samples", "places", "levels", "shares", "level_begin")
    for name, theirs in zip(names, expected, strict=True):
        ours = getattr(found, name)
        assert ours.dtype == theirs.dtype, name
        assert torch.equal(ours, theirs), name


@settings(deadline=None)  # a kernel is compiled for each number of places
@given(
    st.lists(st.floats(0, 4, width=32), min_size=1, max_size=60),
    st.sampled_from([1, 3, 8]),
    st.booleans(),
)
def test_each_sample_has_one_place_in_a_tile_of_its_level(levels, num_places, two_heads):
    levels = torch.tensor(levels, dtype=torch.float32)
    tiles = level_tiles(levels, 5, two_heads, num_places)
    number = torch.arange(len(levels))
    assert torch.equal(tiles.samples[tiles.places], number)
    assert len(tiles.places.unique()) == len(levels)
    of_place = tiles.levels.repeat_interleave(num_places)[tiles.places]
    lower = levels.floor() if two_heads else levels.round()
    assert torch.equal(of_place, lower.long())
    assert (tiles.levels.diff() >= 0).all()
    full = torch.zeros(len(tiles.samples), dtype=torch.bool)
    full[tiles.places] = True
    torch.testing.assert_close(tiles.shares.sum(1), full.float())
    # Before this place no sample has a head that reads the level.
    highest = of_place + two_heads
    for level, begin in enumerate(tiles.level_begin.tolist()):
        assert not (highest[tiles.places < begin] >= level).any()


def test_gather_and_scatter_undo_each_other_in_value_and_gradient(generator):
    levels = random_levels(generator, 50, 6)
    tiles = level_tiles(levels, 6, True, 8)
    values = torch.randn(50, 3, generator=generator, requires_grad=True)
    back = tiles.scatter(tiles.gather(values))
    assert torch.equal(back, values)
    cotangent = torch.randn(50, 3, generator=generator)
    (gradient,) = torch.autograd.grad(back, values, cotangent)
    assert torch.equal(gradient, cotangent)


def outputs(generator, tiles, dtype=torch.float32):
    """Codes and logits at all places, some densities beyond the bound."""
    num_places = len(tiles.samples)
    codes = torch.randn(num_places, 6, generator=generator, dtype=dtype)
    codes[::3, 0] += MAX_LOGIT
    logits = 3 * torch.randn(num_places, 3, generator=generator, dtype=dtype)
    return codes.requires_grad_(), logits.requires_grad_()


@pytest.mark.parametrize("dtype", FLOATS)
def test_activations_match_twin(generator, assert_matches, dtype):
    tiles = level_tiles(random_levels(generator, 300, 6, dtype), 6, True, 16)
    codes, logits = outputs(generator, tiles, dtype)
    found = activate(codes, logits, tiles, MAX_LOGIT)
    expected = reference.activate(codes, logits, tiles.places, MAX_LOGIT)
    cotangents = [torch.randn(x.shape, generator=generator, dtype=dtype) for x in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert_matches(ours, theirs)
    gradients, wanted = (
        torch.autograd.grad(x, [codes, logits], cotangents) for x in (found, expected)
    )
    for ours, theirs in zip(gradients, wanted, strict=True):
        assert_matches(ours, theirs)
    assert not gradients[0][:, 1:].any()


@pytest.mark.float64
def test_gradcheck_of_activations(generator):
    tiles = level_tiles(random_levels(generator, 9, 4, torch.float64), 4, True, 2)
    codes = torch.randn(len(tiles.samples), 3, generator=generator, dtype=torch.float64)
    logits = torch.randn(len(tiles.samples), 3, generator=generator, dtype=torch.float64)
    inputs = codes.requires_grad_(), logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: activate(*x, tiles, MAX_LOGIT), inputs)


def test_wrong_arguments_are_refused(generator):
    with pytest.raises(ValueError, match="no samples"):
        level_tiles(torch.zeros(0), 4, True, 8)
    with pytest.raises(ValueError, match="levels must have shape"):
        level_tiles(torch.zeros(3, 1), 4, True, 8)
    tiles = level_tiles(torch.zeros(3), 4, True, 8)
    codes, logits = outputs(generator, tiles)
    with pytest.raises(ValueError, match="codes must have shape"):
        activate(codes[1:], logits, tiles, MAX_LOGIT)
    with pytest.raises(ValueError, match="logits must be"):
        activate(codes, logits.double(), tiles, MAX_LOGIT)
