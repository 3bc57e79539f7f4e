import pytest
import torch

from taichi_pynerf import runtime
from taichi_pynerf.ops.rmsprop import sparse_rmsprop
from taichi_pynerf.reference import rmsprop as reference

SHAPE = (2500, 4)  # more than two blocks of rows
SETTINGS = {"lr": 1e-2, "beta": 0.99, "eps": 1e-15}


@pytest.fixture(params=[True, False], ids=["listed rows", "a thread per row"], autouse=True)
def kernel(request, monkeypatch):
    """Both kernels; the list of rows is written one after another, which is for processors."""
    if request.param and not runtime.on_cpu():
        pytest.skip("lists of rows are made on the CPU alone")
    monkeypatch.setattr(runtime, "on_cpu", lambda: request.param)


def zero_state(table):
    return torch.zeros_like(table), torch.zeros_like(table[:, 0])


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
    for _ in range(5):
        grad = sparse_gradient(generator)
        sparse_rmsprop(table, grad.clone(), *state, **SETTINGS)
        reference.sparse_rmsprop(twin, grad.clone(), *twin_state, **SETTINGS)
    for actual, expected in zip((table, *state), (twin, *twin_state), strict=True):
        assert_matches(actual, expected)


@pytest.mark.parametrize(
    "step_once", [sparse_rmsprop, reference.sparse_rmsprop], ids=["op", "twin"]
)
def test_is_torch_adam_without_momentum_where_every_row_has_a_gradient(
    generator, step_once, assert_matches
):
    table = torch.randn(SHAPE, generator=generator)
    parameter = torch.nn.Parameter(table.clone())
    optimizer = torch.optim.Adam(
        [parameter],
        lr=SETTINGS["lr"],
        betas=(0.0, SETTINGS["beta"]),
        eps=SETTINGS["eps"],
    )
    state = zero_state(table)
    for _ in range(5):
        grad = torch.randn(SHAPE, generator=generator)
        parameter.grad = grad.clone()
        optimizer.step()
        step_once(table, grad, *state, **SETTINGS)
    assert_matches(table, parameter.detach())


def test_rows_without_gradient_stay_as_they_are(generator):
    table, square_avg = torch.rand(2, *SHAPE, generator=generator).unbind()
    weight = torch.rand(SHAPE[0], generator=generator)
    before = table.clone(), square_avg.clone(), weight.clone()
    grad = sparse_gradient(generator)
    untouched = (grad == 0).all(dim=1)
    grad[untouched] = -0.0  # is 0 as well
    assert 0 < int(untouched.sum()) < SHAPE[0]
    sparse_rmsprop(table, grad, square_avg, weight, **SETTINGS)
    for now, then in zip((table, square_avg, weight), before, strict=True):
        assert torch.equal(now[untouched], then[untouched])
        assert (now != then).view(SHAPE[0], -1).any(dim=1)[~untouched].all()


def test_gradient_is_zeroed(generator):
    table = torch.randn(SHAPE, generator=generator)
    grad = sparse_gradient(generator)
    sparse_rmsprop(table, grad, *zero_state(table), **SETTINGS)
    assert (grad == 0).all()


def test_the_first_step_of_a_row_is_as_long_as_the_learning_rate_whenever_it_comes(
    generator, assert_matches
):
    table = torch.zeros(SHAPE)
    state = zero_state(table)
    for _ in range(300):  # of the even rows alone
        grad = torch.randn(SHAPE, generator=generator)
        grad[1::2] = 0
        sparse_rmsprop(table, grad, *state, **SETTINGS)
    table.zero_()
    grad = torch.randn(SHAPE, generator=generator)
    sign = grad.sign()
    sparse_rmsprop(table, grad, *state, **SETTINGS)
    assert_matches(table[1::2], -SETTINGS["lr"] * sign[1::2])
    late = 1 - SETTINGS["beta"] ** 301
    assert_matches(state[1], torch.tensor([late, 1 - SETTINGS["beta"]]).repeat(SHAPE[0] // 2))


@pytest.mark.parametrize("argument", range(4))
@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(SHAPE[0] - 1, 4),
        torch.zeros(4 * SHAPE[0]),
        torch.zeros(SHAPE, dtype=torch.int32),
    ],
    ids=["too short", "flat", "integers"],
)
def test_wrong_arguments(argument, wrong):
    arguments = [torch.zeros(SHAPE) for _ in range(3)] + [torch.zeros(SHAPE[0])]
    arguments[argument] = wrong
    with pytest.raises(ValueError, match=r"must|expected"):
        sparse_rmsprop(*arguments, **SETTINGS)


def test_updates_in_place_only(generator):
    """A strided view cannot be updated where it lies: it is refused, not silently copied."""
    table = torch.randn(SHAPE, generator=generator)
    strided = torch.zeros(SHAPE[1], SHAPE[0]).T
    with pytest.raises(ValueError, match="contiguous"):
        sparse_rmsprop(strided, torch.ones(SHAPE), *zero_state(table), **SETTINGS)
