import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from taichi_pynerf.model.heads import (
    begin_alike,
    blend_heads,
    blend_slices,
    feature_slices,
    mlp,
    run_in_blocks,
    slice_by_level,
)

NUM_LEVELS = 4
FEATURES = 2
floors = st.lists(st.integers(0, NUM_LEVELS - 1), max_size=40).map(
    lambda values: torch.tensor(values, dtype=torch.int64)
)


def sliced(floor, two_heads=True):
    """Samples of the given lower levels, in slices; each with a fraction of its own."""
    fraction = torch.linspace(0, 0.9, floor.shape[0])
    return slice_by_level(floor, fraction, NUM_LEVELS, two_heads), fraction


def rows_of_heads(floor, two_heads):
    """For each head the sorted rows that need it, by definition."""
    sorted_floor = floor.sort().values
    return [
        [
            row
            for row, lower in enumerate(sorted_floor.tolist())
            if head == lower or (two_heads and head == lower + 1)
        ]
        for head in range(NUM_LEVELS)
    ]


@settings(deadline=None)
@given(floors, st.booleans())
def test_samples_are_sorted_by_level_and_keep_their_order_within_one(floor, two_heads):
    slices, fraction = sliced(floor, two_heads)
    expected = sorted(range(len(floor)), key=lambda i: (int(floor[i]), i))
    assert slices.order.tolist() == expected
    assert torch.equal(slices.fraction, fraction[slices.order].unsqueeze(-1))


@settings(deadline=None)
@given(floors, st.booleans())
def test_a_head_works_on_exactly_the_rows_that_need_it(floor, two_heads):
    slices, _ = sliced(floor, two_heads)
    for head, expected in enumerate(rows_of_heads(floor, two_heads)):
        assert list(range(*slices.rows(head))) == expected


@settings(deadline=None)
@given(floors, st.booleans())
def test_no_row_before_level_begin_needs_the_level(floor, two_heads):
    slices, _ = sliced(floor, two_heads)
    needed = rows_of_heads(floor, two_heads)
    for level, begin in enumerate(slices.level_begin().tolist()):
        rows = [row for head in range(level, NUM_LEVELS) for row in needed[head]]
        assert begin == min(rows, default=len(floor))


@settings(deadline=None)
@given(floors, st.booleans())
def test_a_head_sees_its_rows_and_the_columns_up_to_its_level(floor, two_heads):
    slices, _ = sliced(floor, two_heads)
    features = torch.randn(len(floor), NUM_LEVELS * FEATURES)
    for head, seen in enumerate(feature_slices(features, slices, FEATURES)):
        first, last = slices.rows(head)
        assert torch.equal(seen, features[first:last, : (head + 1) * FEATURES])


@pytest.mark.parametrize("used", [range(NUM_LEVELS), [2], [0, 3]], ids=str)
def test_gradient_of_the_overlapping_windows(used):
    slices, _ = sliced(torch.tensor([0, 3, 1, 1, 2, 0, 2, 2]))
    features = torch.randn(8, NUM_LEVELS * FEATURES, dtype=torch.float64, requires_grad=True)

    def sum_of_windows(x):  # one number, to which all of them contribute at once
        seen = feature_slices(x, slices, FEATURES)
        return sum((head + 1) * seen[head].square().sum() for head in used)

    assert torch.autograd.gradcheck(sum_of_windows, (features,), check_undefined_grad=False)
    assert torch.autograd.gradgradcheck(sum_of_windows, (features,), check_undefined_grad=False)


@settings(deadline=None)
@given(floors, st.booleans())
def test_blending_slices_is_blending_every_sample(floor, two_heads):
    slices, _ = sliced(floor, two_heads)
    of_all = torch.randn(NUM_LEVELS, len(floor), 3)  # every head's outputs for every sorted row
    outputs = [of_all[head, slice(*slices.rows(head))] for head in range(NUM_LEVELS)]
    blended = blend_slices(outputs, slices)
    assert blended.shape == (len(floor), 3)
    for row, lower in enumerate(floor.sort().values.tolist()):
        upper = min(lower + 1, NUM_LEVELS - 1)
        f = slices.fraction[row] if two_heads and upper != lower else 0.0
        expected = (1 - f) * of_all[lower, row] + f * of_all[upper, row]
        torch.testing.assert_close(blended[row], expected)


@settings(deadline=None)
@given(floors, st.booleans(), st.integers(1, 9))
def test_blending_heads_in_blocks_is_blending_their_outputs(floor, two_heads, rows):
    slices, _ = sliced(floor, two_heads)
    features = torch.randn(len(floor), NUM_LEVELS * FEATURES)
    seen = feature_slices(features, slices, FEATURES)
    heads = nn.ModuleList(mlp([(head + 1) * FEATURES, 4, 3]) for head in range(NUM_LEVELS))
    expected = blend_slices([head(x) for head, x in zip(heads, seen, strict=True)], slices)
    blended = blend_heads(nn.Sequential.__call__, heads, seen, slices, rows)
    assert not blended.requires_grad
    assert blended.shape == (len(floor), 3)
    torch.testing.assert_close(blended, expected.detach())


def test_gradient_of_blending_slices():
    slices = slice_by_level(
        torch.tensor([0, 3, 1, 1, 2, 0]),
        torch.tensor([0.1, 0.0, 0.5, 0.0, 0.9, 0.4], dtype=torch.float64),
        NUM_LEVELS,
        two_heads=True,
    )
    outputs = [
        torch.randn(last - first, 2, dtype=torch.float64, requires_grad=True)
        for first, last in map(slices.rows, range(NUM_LEVELS))
    ]
    assert torch.autograd.gradcheck(lambda *x: blend_slices(list(x), slices), outputs)


def test_an_mlp_is_linear_layers_without_bias_and_relus_between():
    network = mlp([3, 8, 5, 2])
    weights = list(network.parameters())
    assert [tuple(w.shape) for w in weights] == [(8, 3), (5, 8), (2, 5)]
    x = torch.randn(10, 3)
    expected = (x @ weights[0].T).relu() @ weights[1].T
    torch.testing.assert_close(network(x), expected.relu() @ weights[2].T)


def test_heads_begin_alike_on_the_features_that_they_share():
    heads = nn.ModuleList(mlp([width, 8, 3]) for width in (2, 4, 6))
    last = [parameter.clone() for parameter in heads[-1].parameters()]
    begin_alike(heads)
    features = torch.randn(5, 6)
    features[:, 2:] = 0  # finer features are near 0 at the start
    outputs = [head(features[:, :width]) for head, width in zip(heads, (2, 4, 6), strict=True)]
    torch.testing.assert_close(outputs[0], outputs[2])
    torch.testing.assert_close(outputs[1], outputs[2])
    assert outputs[0].abs().max() > 0
    for own, was in zip(heads[-1].parameters(), last, strict=True):
        assert torch.equal(own, was)
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in heads.parameters())


def test_blocks_of_rows_give_what_the_whole_gives():
    network, x = mlp([8, 16, 3]), torch.rand(100, 8)
    whole = network(x)
    sizes = []
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    with torch.no_grad():
        torch.testing.assert_close(run_in_blocks(network, x, rows=32), whole)
    assert sizes == [32, 32, 32, 4]
    # Gradients keep every layer anyway: there is nothing to win.
    assert run_in_blocks(network, x, rows=32).requires_grad
    assert sizes[4:] == [100]
