"""Twins of tensors on the device. They are tried on any backend: its memory stands in."""

import gc

import pytest
import torch

from taichi_pynerf.ops import residence
from taichi_pynerf.ops.hash_grid import HashGridSpec, hash_encode
from taichi_pynerf.ops.residence import device_memory, keep_on_device, to_host
from taichi_pynerf.ops.rmsprop import sparse_rmsprop

SPEC = HashGridSpec(resolutions=(4, 20), features_per_level=2, hash_table_size=256)
SETTINGS = {"lr": 1e-2, "beta": 0.99, "eps": 1e-15}


@pytest.fixture(autouse=True)
def memory_of_its_own(monkeypatch):
    """As on Vulkan, whatever the tests run on."""
    monkeypatch.setattr(residence.runtime, "shares_memory", lambda: False)


def kept(*shape):
    return keep_on_device(torch.rand(*shape))


def on_device(tensor):
    return torch.from_numpy(device_memory(tensor).to_numpy())


def double_on_device(tensor):
    """Stands for a kernel that writes."""
    array = device_memory(tensor, writes=True)
    array.from_numpy(2 * array.to_numpy())


def test_the_twin_has_the_values(generator):
    for tensor in (
        torch.rand(5, 4, generator=generator),
        torch.rand(7, generator=generator),
        torch.randint(0, 255, (2, 3, 3), generator=generator, dtype=torch.uint8),
        torch.arange(6, dtype=torch.int32),
    ):
        twin = on_device(keep_on_device(tensor))
        assert torch.equal(twin, tensor if tensor.dim() == 2 else tensor.view(-1))


def test_others_are_passed_as_they_are():
    tensor = torch.rand(5, 4)
    assert device_memory(tensor).data_ptr() == tensor.data_ptr()
    assert to_host(tensor) is tensor


def test_what_kernels_wrote_comes_back_when_asked_for():
    tensor = kept(5, 4)
    before = tensor.clone()
    double_on_device(tensor)
    assert torch.equal(tensor, before)
    assert torch.equal(to_host(tensor), 2 * before)
    double_on_device(tensor)
    assert torch.equal(to_host(tensor), 4 * before)


def test_what_torch_wrote_goes_to_the_device():
    tensor = kept(5, 4)
    device_memory(tensor)
    tensor.mul_(3)
    assert torch.equal(on_device(tensor), tensor)
    double_on_device(tensor)
    to_host(tensor)[2] = 7.0
    assert torch.equal(on_device(tensor), tensor)


def test_nothing_is_copied_twice(monkeypatch):
    tensor = kept(5, 4)
    double_on_device(tensor)
    to_host(tensor)
    twin = residence._twins[tensor]
    monkeypatch.setattr(twin, "array", None)  # any further copy would fail
    assert device_memory(tensor) is None
    assert to_host(tensor) is tensor


def test_two_newest_values_are_refused_rather_than_lost():
    tensor = kept(5, 4)
    double_on_device(tensor)
    tensor.add_(1)
    with pytest.raises(RuntimeError, match="to_host"):
        device_memory(tensor)


def test_a_twin_ends_with_its_tensor():
    gc.collect()  # what other tests left behind
    count = len(residence._twins)
    tensor = kept(5, 4)
    device_memory(tensor)
    assert len(residence._twins) == count + 1
    del tensor
    gc.collect()
    assert len(residence._twins) == count


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(3, dtype=torch.float64), torch.zeros(4, 3).T],
    ids=["float64", "strided"],
)
def test_tensors_that_cannot_be_kept(tensor):
    with pytest.raises(ValueError, match=r"cannot|must"):
        keep_on_device(tensor)


def test_a_parameter_is_found_again_in_the_backward_pass(generator, assert_matches):
    """Values, gradients and steps are those of tables that are not kept."""
    shape = (SPEC.num_entries, SPEC.features_per_level)
    plain = torch.nn.Parameter(torch.randn(shape, generator=generator))
    table = keep_on_device(torch.nn.Parameter(plain.detach().clone()))
    buffers = [torch.zeros(4, *shape).unbind() for _ in range(2)]
    grads, moments = ([buffer[k] for buffer in buffers] for k in (0, 1))
    grads[1], moments[1] = keep_on_device(grads[1].clone()), keep_on_device(moments[1].clone())
    weights = [torch.zeros(shape[0]), keep_on_device(torch.zeros(shape[0]))]
    for _ in range(2):
        positions = torch.rand(50, 3, generator=generator).requires_grad_()
        cotangents = torch.randn(50, SPEC.num_features, generator=generator)
        found = []
        for entries, grad, *state in zip((plain, table), grads, moments, weights, strict=True):
            features = hash_encode(positions, entries, SPEC, accumulate_into=grad)
            found.append((features, *torch.autograd.grad(features, positions, cotangents)))
            hash_encode(positions, entries, SPEC, accumulate_into=grad).backward(cotangents)
            sparse_rmsprop(entries, grad, *state, **SETTINGS)
        for expected, actual in zip(*found, strict=True):
            assert_matches(actual, expected)
    assert not torch.equal(table, plain)  # the newest values are on the device
    assert_matches(to_host(table), plain)
    assert_matches(to_host(moments[1]), moments[0])
    assert_matches(to_host(weights[1]), weights[0])
    assert (to_host(grads[1]) == 0).all()
