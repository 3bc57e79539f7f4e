import pytest
import torch

from taichi_pynerf.ops.hash_grid import HashGridSpec
from taichi_pynerf.ops.proposal_rounds import SmallField, proposal_rounds
from taichi_pynerf.reference import proposal_rounds as reference
from taichi_pynerf.reference.hash_grid import hash_encode

SIZE = 3.0
SPEC = HashGridSpec(resolutions=(5, 11, 40), features_per_level=2, hash_table_size=2**9)
HOW = {"num_rounds": 2, "per_round": 12, "num_samples": 9, "turn": 0.618034, "explore": 0.02,
       "size": SIZE}  # fmt: skip


def inputs(generator, num_rays=60, dtype=torch.float64, hidden_dim=6):
    def random(*shape):
        return torch.rand(*shape, generator=generator, dtype=dtype)

    rays_d = torch.nn.functional.normalize(random(num_rays, 3) - 0.5, dim=-1) / SIZE
    ends = 0.9 * random(num_rays, 2).sort(-1).values
    table = 4 * random(SPEC.num_entries, 2) - 2
    inner, outer = random(hidden_dim, 6) - 0.5, 2 * random(1, hidden_dim) - 0.5
    return random(num_rays, 3), rays_d, ends, random(num_rays), table, inner, outer


def expected(arguments, unbounded, **how):
    *rays, table, inner, outer = arguments

    def density(positions):
        hidden = torch.relu(hash_encode(positions, table, SPEC) @ inner.T)
        return (hidden @ outer.T).squeeze(-1).clamp(max=15).exp()

    return reference.proposal_rounds(*rays, density, unbounded=unbounded, **how)


@pytest.mark.float64
@pytest.mark.parametrize("unbounded", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_rounds": 1},
        {"explore": 1.0},
        {"turn": 0.0},
        {"num_rounds": 3, "per_round": 5, "num_samples": 30},
    ],
)
def test_matches_twin(generator, unbounded, changes):
    arguments, how = inputs(generator), {**HOW, **changes}
    found = proposal_rounds(*arguments, SmallField(SPEC, 6, unbounded), **how)
    # Depths beyond `OPAQUE` are not looked at, which moves shares of weight by 2e-7 at most.
    torch.testing.assert_close(found, expected(arguments, unbounded, **how), rtol=0, atol=1e-3)
    close = (found - expected(arguments, unbounded, **how)).abs() < 1e-6
    assert close.double().mean() > 0.95


@pytest.mark.parametrize("unbounded", [False, True])
def test_matches_twin_in_single_precision(generator, unbounded):
    arguments = inputs(generator, dtype=torch.float32)
    found = proposal_rounds(*arguments, SmallField(SPEC, 6, unbounded), **HOW)
    # Where a bin has hardly any weight, rounding moves a border far within it.
    close = (found - expected(arguments, unbounded, **HOW)).abs() < 1e-3
    assert close.float().mean() > 0.97


def test_borders_ascend_from_end_to_end(generator):
    arguments = inputs(generator, dtype=torch.float32)
    found = proposal_rounds(*arguments, SmallField(SPEC, 6, True), **HOW)
    assert (found.diff(dim=1) >= -1e-6).all()
    torch.testing.assert_close(found[:, [0, -1]], arguments[2], rtol=0, atol=0)


def test_samples_surround_a_wall():
    """A field that is dense in one half of the box only: light ends where that half begins."""
    rays_o, rays_d = torch.tensor([[0.0, 0.5, 0.5]]), torch.tensor([[1 / SIZE, 0, 0]])
    ends, offsets = torch.tensor([[0.0, SIZE]]), torch.tensor([0.5])
    spec = HashGridSpec(resolutions=(8,), features_per_level=2, hash_table_size=2**10)
    x = torch.arange(9).repeat(81)  # the first coordinate of each vertex
    table = torch.zeros(spec.num_entries, 2)
    table[:729, 0] = torch.where(x >= 4, 10.0, -20.0)
    inner, outer = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([[1.0, -1.0]])
    found = proposal_rounds(
        rays_o, rays_d, ends, offsets, table, inner, outer, SmallField(spec, 2, False),
        **{**HOW, "explore": 0.0, "per_round": 32},
    )  # fmt: skip
    inside = (found[0, 1:-1] / SIZE - 0.5).abs() < 0.15
    assert inside.all()


def test_no_rays_and_strided_ones(generator, assert_matches):
    arguments = inputs(generator, dtype=torch.float32)
    field = SmallField(SPEC, 6, True)
    none = proposal_rounds(*(x[:0] for x in arguments[:4]), *arguments[4:], field, **HOW)
    assert none.shape == (0, 10)
    strided = [x if x.dim() == 1 else x.T.contiguous().T for x in arguments[:4]]
    assert_matches(
        proposal_rounds(*strided, *arguments[4:], field, **HOW),
        proposal_rounds(*arguments, field, **HOW),
    )


@pytest.mark.parametrize("argument", range(7))
def test_what_does_not_fit_is_refused(generator, argument):
    arguments = list(inputs(generator, dtype=torch.float32))
    arguments[argument] = arguments[argument][..., None]
    with pytest.raises(ValueError, match="must have shape"):
        proposal_rounds(*arguments, SmallField(SPEC, 6, True), **HOW)


@pytest.mark.parametrize(
    ("name", "value"), [("num_rounds", 0), ("per_round", 1), ("num_samples", 1)]
)
def test_too_few_are_refused(generator, name, value):
    arguments = inputs(generator, dtype=torch.float32)
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        proposal_rounds(*arguments, SmallField(SPEC, 6, True), **{**HOW, name: value})


@pytest.mark.float64
@pytest.mark.parametrize("unbounded", [False, True])
def test_cells_that_are_ruled_out_have_no_density(generator, unbounded):
    *rays, table, inner, outer = arguments = inputs(generator)
    g = 6
    cells = (torch.rand(g**3, generator=generator) < 0.5).to(torch.uint8)

    def density(positions):
        hidden = torch.relu(hash_encode(positions, table, SPEC) @ inner.T)
        sigmas = (hidden @ outer.T).squeeze(-1).clamp(max=15).exp()
        x, y, z = (positions * g).long().clamp(0, g - 1).unbind(-1)
        return torch.where(cells[(x * g + y) * g + z] != 0, 0.0, sigmas)

    found = proposal_rounds(*arguments, SmallField(SPEC, 6, unbounded), cells, **HOW)
    theirs = reference.proposal_rounds(*rays, density, unbounded=unbounded, **HOW)
    assert ((found - theirs).abs() < 1e-6).double().mean() > 0.95
    without = proposal_rounds(*arguments, SmallField(SPEC, 6, unbounded), **HOW)
    assert (found - without).abs().max() > 1e-3
    with pytest.raises(ValueError, match="ruled_out must"):
        proposal_rounds(*arguments, SmallField(SPEC, 6, unbounded), cells[:-1], **HOW)
