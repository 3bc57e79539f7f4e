import pytest
import torch

from taichi_pynerf.model import field_pass as module
from taichi_pynerf.model.field_pass import field_pass, head_codes, weights_of
from taichi_pynerf.model.heads import (
    blend_slices,
    feature_slices,
    mlp,
    slice_by_level,
)

NUM_LEVELS, WIDTH, CODES, BASIS = 4, 2, 3, 4
FLOORS = {
    "all levels": [0, 3, 1, 1, 2, 0, 2, 3, 1],
    "one level": [2, 2, 2, 2],
    "a gap between levels": [0, 3, 0, 3, 3],
    "none": [],
}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Several blocks, the last of them not full."""
    monkeypatch.setattr(module, "ROWS", 2)


@pytest.fixture(params=FLOORS.values(), ids=FLOORS)
def floor(request):
    return torch.tensor(request.param, dtype=torch.int64)


def parts(floor, two_heads=True, seed=0):
    """Features, basis, slices, heads and a colour head, in float64 and away from ReLUs' corners."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    fraction = torch.rand(len(floor), generator=generator, dtype=torch.float64)
    slices = slice_by_level(floor, fraction, NUM_LEVELS, two_heads)
    heads = [mlp([(level + 1) * WIDTH, 5, CODES]).double() for level in range(NUM_LEVELS)]
    color_head = mlp([CODES + BASIS, 6, 5, 3]).double()
    for network in (*heads, color_head):
        for parameter in network.parameters():
            parameter.data.copy_(random(*parameter.shape))
    features, basis = random(len(floor), NUM_LEVELS * WIDTH), random(len(floor), BASIS)
    return features.requires_grad_(), basis.requires_grad_(), slices, heads, color_head


def plain(features, basis, slices, heads, color_head):
    """The same, written out for autograd."""
    windows = feature_slices(features, slices, WIDTH)
    codes = blend_slices([head(x) for head, x in zip(heads, windows, strict=True)], slices)
    rgbs = torch.sigmoid(color_head(torch.cat([codes, basis], 1)))
    places = slices.order.argsort()
    return codes[:, 0].exp()[places], rgbs[places]


@pytest.mark.parametrize("two_heads", [True, False])
def test_values_and_gradients_are_those_of_the_plain_networks(floor, two_heads):
    features, basis, *networks = parts(floor, two_heads)
    actual, expected = (
        run(features, basis, *networks) for run in (field_pass, plain)
    )  # fmt: skip
    weights = [w for network in (*networks[1], networks[2]) for w in weights_of(network)]
    cotangents = [torch.randn_like(x) for x in expected]
    for mine, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(mine, theirs)
    found, wanted = (
        torch.autograd.grad(outputs, [features, basis, *weights], cotangents, allow_unused=True)
        for outputs in (actual, expected)
    )
    for mine, theirs, given in zip(found, wanted, [features, basis, *weights], strict=True):
        # Of heads without samples: none, or zeros.
        mine, theirs = (torch.zeros_like(given) if x is None else x for x in (mine, theirs))
        torch.testing.assert_close(mine, theirs)


def test_gradcheck(floor):
    features, basis, slices, heads, color_head = parts(floor)
    weights = [w for network in (*heads, color_head) for w in weights_of(network)]

    def run(features, basis, *_):  # the weights are changed in place
        return field_pass(features, basis, slices, heads, color_head)

    assert torch.autograd.gradcheck(run, (features, basis, *weights))


def test_known_codes_change_nothing(floor):
    features, basis, slices, heads, color_head = parts(floor)
    codes = head_codes(features, slices, heads)
    assert not codes.requires_grad
    results = []
    for known in (None, codes):
        out = field_pass(features, basis, slices, heads, color_head, known)
        grads = torch.autograd.grad(sum(x.sum() for x in out), [features, basis])
        results.append([*out, *grads])
    for without, with_codes in zip(*results, strict=True):
        assert torch.equal(without, with_codes)


def test_a_loss_on_a_gradient_is_refused():
    features, basis, *networks = parts(torch.tensor([1, 2]))
    sigmas, _ = field_pass(features, basis, *networks)
    (gradient,) = torch.autograd.grad(sigmas.sum(), features, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivative"):
        gradient.square().sum().backward()


def test_a_density_beyond_all_bounds_stays_finite():
    features, basis, slices, heads, color_head = parts(torch.tensor([1, 2]))
    codes = torch.full((2, CODES), 1e4, dtype=torch.float64)
    sigmas, rgbs = field_pass(features, basis, slices, heads, color_head, codes)
    (sigmas.sum() + rgbs.sum()).backward()
    assert sigmas.isfinite().all()
    assert features.grad.isfinite().all()
