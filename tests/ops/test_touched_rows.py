import pytest
import torch

from taichi_pynerf import runtime
from taichi_pynerf.ops.hash_grid import HashGridSpec, hash_encode
from taichi_pynerf.ops.rmsprop import sparse_rmsprop
from taichi_pynerf.ops.touched_rows import (
    forget_touched_rows,
    mark_touched_rows,
    touch_all_rows,
    touched_rows,
)
from taichi_pynerf.reference import rmsprop as reference

# Dense levels of 27 and 125 vertices, so that the hashed one begins within a word of marks.
SPEC = HashGridSpec(resolutions=(2, 4, 40), features_per_level=2, hash_table_size=2**9)
SHAPE = (SPEC.num_entries, SPEC.features_per_level)
SETTINGS = {"lr": 1e-2, "beta": 0.99, "eps": 1e-15}


@pytest.fixture(autouse=True)
def _processor():
    if not runtime.on_cpu():
        pytest.skip("rows are marked on the processor alone")


def marked(marks):
    """bool [E] of the marks' words."""
    bits = marks.unsqueeze(-1) >> torch.arange(32) & 1
    return bits.view(-1)[: SPEC.num_entries].bool()


def encode_backward(grad, generator, count=20):
    """Add the gradient of some samples' features; none of theirs is 0."""
    positions = torch.rand(count, 3, generator=generator)
    table = torch.rand(SHAPE, generator=generator).requires_grad_()
    features = hash_encode(positions, table, SPEC, accumulate_into=grad)
    features.backward(1 + torch.rand(features.shape, generator=generator))


def test_the_adjoint_marks_the_rows_that_it_adds_to(generator):
    grad = mark_touched_rows(torch.zeros(SHAPE))
    encode_backward(grad, generator)
    touched = grad.ne(0).any(1)
    assert 0 < int(touched.sum()) < SPEC.num_entries
    assert torch.equal(marked(touched_rows(grad)), touched)


def test_steps_by_marks_match_the_twin_and_leave_neither_marks_nor_gradient(
    generator, assert_matches
):
    grad = mark_touched_rows(torch.zeros(SHAPE))
    table = torch.rand(SHAPE, generator=generator)
    state = torch.zeros(SHAPE), torch.zeros(SHAPE[0])
    twin, *twin_state = (tensor.clone() for tensor in (table, *state))
    for _ in range(4):
        encode_backward(grad, generator)
        reference.sparse_rmsprop(twin, grad.clone(), *twin_state, **SETTINGS)
        sparse_rmsprop(table, grad, *state, **SETTINGS)
        assert not grad.any()
        assert not touched_rows(grad).any()
    for actual, expected in zip((table, *state), (twin, *twin_state), strict=True):
        assert_matches(actual, expected)


def test_a_marked_row_without_gradient_stays(generator):
    grad = mark_touched_rows(torch.zeros(SHAPE))
    touched_rows(grad).fill_(-1)
    table, square_avg = torch.rand(2, *SHAPE, generator=generator).unbind()
    weight = torch.rand(SHAPE[0], generator=generator)
    before = table.clone(), square_avg.clone(), weight.clone()
    sparse_rmsprop(table, grad, square_avg, weight, **SETTINGS)
    for now, then in zip((table, square_avg, weight), before, strict=True):
        assert torch.equal(now, then)


@pytest.mark.parametrize("known", [True, False], ids=["torch counts it", "torch is not told"])
def test_what_others_add_is_stepped_too(generator, known):
    grad = mark_touched_rows(torch.zeros(SHAPE))
    encode_backward(grad, generator)
    if known:
        grad += 1
    else:
        grad.numpy()[...] += 1
        touch_all_rows(grad)
    assert touched_rows(grad) is None
    table = torch.zeros(SHAPE)
    sparse_rmsprop(table, grad, torch.zeros(SHAPE), torch.zeros(SHAPE[0]), **SETTINGS)
    assert (table != 0).all()
    assert not grad.any()
    assert not touched_rows(grad).any()  # and marks hold again


def test_forgotten_marks_and_unmarked_gradients():
    grad = mark_touched_rows(torch.zeros(SHAPE))
    touched_rows(grad).fill_(-1)
    grad.zero_()
    assert touched_rows(grad) is None
    forget_touched_rows(grad)
    assert not touched_rows(grad).any()
    assert touched_rows(torch.zeros(SHAPE)) is None
