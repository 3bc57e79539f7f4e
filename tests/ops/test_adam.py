import pytest
import torch

from taichi_pynerf.ops.adam import sparse_adam
from taichi_pynerf.reference import adam as reference

SHAPE = (200, 4)
SETTINGS = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.99, "eps": 1e-15}


def zero_state(table):
    return torch.zeros_like(table), torch.zeros_like(table)


def sparse_gradient(generator, dtype=torch.float32):
    """Most rows zero; of the others, some have a single element that is not."""
    grad = torch.randn(SHAPE, generator=generator, dtype=dtype)
    grad[torch.rand(SHAPE[0], generator=generator) < 0.6] = 0
    grad[::5, 1:] = 0
    return grad


def test_matches_twin_over_several_steps(generator, assert_matches):
    table = torch.randn(SHAPE, generator=generator)
    twin = table.clone()
    state, twin_state = zero_state(table), zero_state(twin)
    for step in range(1, 6):
        grad = sparse_gradient(generator)
        sparse_adam(table, grad.clone(), *state, step, **SETTINGS)
        reference.sparse_adam(twin, grad.clone(), *twin_state, step, **SETTINGS)
    for actual, expected in zip((table, *state), (twin, *twin_state), strict=True):
        assert_matches(actual, expected)


@pytest.mark.parametrize("step_once", [sparse_adam, reference.sparse_adam], ids=["op", "twin"])
def test_is_torch_adam_where_every_row_has_a_gradient(generator, step_once, assert_matches):
    table = torch.randn(SHAPE, generator=generator)
    parameter = torch.nn.Parameter(table.clone())
    optimizer = torch.optim.Adam(
        [parameter],
        lr=SETTINGS["lr"],
        betas=(SETTINGS["beta1"], SETTINGS["beta2"]),
        eps=SETTINGS["eps"],
    )
    state = zero_state(table)
    for step in range(1, 6):
        grad = torch.randn(SHAPE, generator=generator)
        parameter.grad = grad.clone()
        optimizer.step()
        step_once(table, grad, *state, step, **SETTINGS)
    assert_matches(table, parameter.detach())


def test_rows_without_gradient_stay_as_they_are(generator):
    table, exp_avg, exp_avg_sq = torch.rand(3, *SHAPE, generator=generator).unbind()
    before = table.clone(), exp_avg.clone(), exp_avg_sq.clone()
    grad = sparse_gradient(generator)
    untouched = (grad == 0).all(dim=1)
    assert 0 < int(untouched.sum()) < SHAPE[0]
    sparse_adam(table, grad, exp_avg, exp_avg_sq, 7, **SETTINGS)
    for now, then in zip((table, exp_avg, exp_avg_sq), before, strict=True):
        assert torch.equal(now[untouched], then[untouched])
        # All columns of a touched row move, those with a zero gradient by their momentum.
        assert (now[~untouched] != then[~untouched]).all()


def test_gradient_is_zeroed(generator):
    table = torch.randn(SHAPE, generator=generator)
    grad = sparse_gradient(generator)
    sparse_adam(table, grad, *zero_state(table), 1, **SETTINGS)
    assert (grad == 0).all()


def test_first_step_is_as_long_as_the_learning_rate(generator, assert_matches):
    table = torch.zeros(SHAPE)
    grad = torch.randn(SHAPE, generator=generator)
    sign = grad.sign()
    sparse_adam(table, grad, *zero_state(table), 1, **SETTINGS)
    assert_matches(table, -SETTINGS["lr"] * sign)


def test_steps_count_from_one():
    arguments = [torch.zeros(SHAPE) for _ in range(4)]
    with pytest.raises(ValueError, match="step"):
        sparse_adam(*arguments, 0, **SETTINGS)


@pytest.mark.parametrize("argument", range(4))
@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(199, 4), torch.zeros(800), torch.zeros(SHAPE, dtype=torch.int32)],
    ids=["too short", "flat", "integers"],
)
def test_wrong_arguments(argument, wrong):
    arguments = [torch.zeros(SHAPE) for _ in range(4)]
    arguments[argument] = wrong
    with pytest.raises(ValueError, match=r"must|expected"):
        sparse_adam(*arguments, 1, **SETTINGS)


def test_updates_in_place_only(generator):
    """A strided view cannot be updated where it lies: it is refused, not silently copied."""
    table = torch.randn(SHAPE, generator=generator)
    strided = torch.zeros(SHAPE[1], SHAPE[0]).T
    with pytest.raises(ValueError, match="contiguous"):
        sparse_adam(strided, torch.ones(SHAPE), *zero_state(table), 1, **SETTINGS)
