"""All heads in two batched products, held to the heads one by one."""

import pytest
import torch

from taichi_pynerf.model.heads import mlp, tiled_codes
from taichi_pynerf.ops.level_tiles import level_tiles

NUM_LEVELS, WIDTH, CODES, PLACES = 4, 2, 3, 2
LEVELS = {
    "all levels": [0.2, 3.0, 1.5, 1.0, 2.9, 0.0, 2.2, 3.0, 1.7],
    "one level": [2.1, 2.2, 2.3, 2.4],
    "a gap between levels": [0.5, 3.0, 0.9, 3.0, 2.9],
    "one sample": [1.25],
}
pytestmark = pytest.mark.float64


@pytest.fixture(params=LEVELS.values(), ids=LEVELS)
def levels(request):
    return torch.tensor(request.param, dtype=torch.float64)


def parts(num_samples, seed=0):
    """Features of the samples and heads, in float64 and away from ReLUs' corners."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    heads = [mlp([(level + 1) * WIDTH, 5, CODES]).double() for level in range(NUM_LEVELS)]
    for head in heads:
        for parameter in head.parameters():
            parameter.data.copy_(random(*parameter.shape))
    features = random(num_samples, NUM_LEVELS * WIDTH).requires_grad_()
    return features, heads, [weight for head in heads for weight in head.parameters()]


def one_by_one(features, levels, heads, two_heads):
    """The blended codes of each sample, from its own two heads."""
    found = []
    for x, level in zip(features, levels, strict=True):
        lower = int(level) if two_heads else int(level.round())
        outputs = [heads[k](x[: (k + 1) * WIDTH]) for k in {lower, min(lower + 1, NUM_LEVELS - 1)}]
        found.append(torch.lerp(outputs[0], outputs[-1], (level - lower) * two_heads))
    return torch.stack(found)


@pytest.mark.parametrize("two_heads", [True, False])
def test_codes_and_gradients_are_those_of_the_heads_one_by_one(levels, two_heads):
    features, heads, weights = parts(len(levels))
    tiles = level_tiles(levels, NUM_LEVELS, two_heads, PLACES)
    codes = tiles.scatter(tiled_codes(tiles.gather(features), tiles, heads))
    expected = one_by_one(features, levels, heads, two_heads)
    torch.testing.assert_close(codes, expected)
    cotangent = torch.randn_like(codes)
    found, wanted = (
        torch.autograd.grad(x, [features, *weights], cotangent, allow_unused=True)
        for x in (codes, expected)
    )
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, torch.zeros_like(mine) if theirs is None else theirs)


def test_gradcheck():
    levels = torch.tensor(LEVELS["all levels"], dtype=torch.float64)
    features, heads, weights = parts(len(levels))
    tiles = level_tiles(levels, NUM_LEVELS, True, PLACES)

    def run(features, *_):  # the weights are changed in place
        return tiles.scatter(tiled_codes(tiles.gather(features), tiles, heads))

    assert torch.autograd.gradcheck(run, (features, *weights))


def test_places_without_a_sample_count_for_nothing(levels):
    features, heads, weights = parts(len(levels))
    tiles = level_tiles(levels, NUM_LEVELS, True, PLACES)
    rows = tiles.gather(features).detach().requires_grad_()
    codes = tiled_codes(rows, tiles, heads)
    empty = torch.ones(len(rows), dtype=torch.bool)
    empty[tiles.places] = False
    assert empty.any()
    assert not codes[empty].any()
    for gradient in torch.autograd.grad(codes[empty].sum(), [rows, *weights]):
        assert not gradient.any()
