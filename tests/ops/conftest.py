"""Shared parts of the ops' tests: seeded numbers and one way to compare."""

import pytest
import torch


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(20231201)


@pytest.fixture(scope="session", params=[False, True], ids=["written", "autodiff"])
def use_autodiff(request, backend):
    """Both ways in which an op computes its gradient: a written adjoint, Taichi's autodiff."""
    if request.param and backend == "vulkan":
        pytest.skip("Taichi's autodiff of arrays is wrong on Vulkan")
    return request.param


@pytest.fixture(scope="session")
def assert_matches(backend):
    """Compare with a twin: an error counts against the largest element, not against each."""

    def check(actual, expected, tolerance=1e-5 if backend == "cpu" else 1e-4):
        largest = float(expected.detach().abs().max()) if expected.numel() else 0.0
        torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * largest)

    return check
