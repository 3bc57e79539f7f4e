"""The pretend device itself: what it refuses, and what it counts."""

import pytest
import torch
from machine import pretend_machine, to_host
from pretend import DEVICE, MixedDevices, counted, on_device

from taichi_pynerf import runtime
from taichi_pynerf.kernels.occupancy import update_density
from taichi_pynerf.runtime.transfer import Reading
from taichi_pynerf.runtime.transfer import to_device as overlapping


@pytest.fixture(autouse=True)
def machine():
    with pretend_machine():
        yield


def here(values=(1.0, 2.0, 3.0)):
    return torch.tensor(values, device=DEVICE)


def test_it_computes_as_the_processor_does_gradients_too():
    x = torch.randn(4, 3)
    there = x.to(DEVICE).requires_grad_()
    loss = (there @ there.T).relu().square().mean()
    loss.backward()
    again = x.clone().requires_grad_()
    (again @ again.T).relu().square().mean().backward()
    assert on_device(loss)
    assert on_device(there.grad)
    assert torch.equal(to_host(there.grad), again.grad)


@pytest.mark.parametrize(
    "mix",
    [
        lambda: here() + torch.ones(3),
        lambda: torch.cat([here(), torch.ones(3)]),
        lambda: torch.ones(3).index_select(0, torch.tensor([0], device=DEVICE)),
        lambda: torch.ones(3)[torch.tensor([0], device=DEVICE)],
        lambda: torch.rand(3, generator=torch.Generator(), device=DEVICE),
        lambda: torch.rand(3, generator=torch.Generator(DEVICE)),
    ],
)
def test_it_refuses_what_cuda_would(mix):
    with pytest.raises(MixedDevices):
        mix()


def test_a_number_may_come_from_anywhere():
    assert to_host(here() * torch.tensor(2.0)).tolist() == [2.0, 4.0, 6.0]


def test_numpy_is_the_processors():
    with pytest.raises(TypeError, match="numpy"):
        here().numpy()


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: float(x[0]),
        lambda x: bool((x > 0).all()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.nonzero(),
        lambda x: x[x > 1],
        lambda x: torch.bincount(x.long()),
        lambda x: x.unique(),
        lambda x: torch.ones(3).to(DEVICE),
        lambda x: torch.ones(3).to(DEVICE, non_blocking=True),  # not pinned
        lambda x: x.copy_(torch.ones(3)),
        lambda x: torch.tensor(1.0, device=DEVICE),
        lambda x: x.new_tensor([1.0]),
        lambda x: Reading(x).tolist(),
    ],
)
def test_a_wait_is_counted_once(ask):
    x = here()
    with counted() as ledger:
        ask(x)
    assert ledger.num_waits == 1


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x + 1,
        lambda x: torch.where(x > 1, x, 0.0).sum(),
        lambda x: x.index_select(0, x.long().clamp(max=2)),
        lambda x: torch.zeros(3, device=DEVICE),
        lambda x: overlapping(torch.ones(3), DEVICE),
        lambda x: Reading(x),
    ],
)
def test_work_and_overlapping_copies_are_no_waits(work):
    x = here()
    with counted() as ledger:
        work(x)
    assert ledger.num_waits == 0


def test_what_has_come_by_a_later_wait_is_read_without_one():
    reading = Reading(here())
    float(here()[0])
    with counted() as ledger:
        ledger.waits["an earlier one"] += 2  # what the reading's event counts from
        assert reading.tolist() == [1.0, 2.0, 3.0]
    assert ledger.num_waits == 2


def test_views_and_allocations_are_no_operators():
    x = here()
    with counted() as ledger:
        x.view(3, 1).expand(3, 2)[1:].T.unsqueeze(0)
        torch.empty(3, device=DEVICE)
        x.detach()
    assert ledger.operators.total() == 0
    with counted() as ledger:
        (x + 1).mul_(2)
    assert ledger.operators == {"add": 1, "mul_": 1}


def test_kernels_take_contiguous_tensors_of_the_device():
    cells = torch.tensor([0, 1], dtype=torch.int32, device=DEVICE)
    sigmas = torch.rand(4, 2).to(DEVICE)
    density = torch.zeros(8).to(DEVICE)
    with counted() as ledger:
        update_density(density, 0.9, cells, sigmas[0])
    assert ledger.kernels == {"update_density": 1}
    assert to_host(density)[:2].tolist() == to_host(sigmas)[0].tolist()
    with pytest.raises(ValueError, match="argument 3 is not contiguous"):
        update_density(density, 0.9, cells, sigmas[:2, 0])
    with pytest.raises(MixedDevices, match="argument 3 is the processor's"):
        update_density(density, 0.9, cells, torch.rand(2))


def test_the_package_takes_it_for_cuda():
    assert runtime.torch_device() == DEVICE
    assert not runtime.on_cpu()
    assert runtime.shares_memory()
