from math import pi

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taichi_pynerf.ops.spherical_harmonics import spherical_harmonics
from taichi_pynerf.reference import spherical_harmonics as reference

NUM_COEFFICIENTS = 16


def random_dirs(generator, num_dirs=200, dtype=torch.float32):
    dirs = torch.randn(num_dirs, 3, generator=generator, dtype=dtype)
    return torch.nn.functional.normalize(dirs, dim=-1)


def test_values_and_gradients_match_twin(generator, use_autodiff, assert_matches):
    dirs = random_dirs(generator).requires_grad_()
    cotangents = torch.randn(len(dirs), NUM_COEFFICIENTS, generator=generator)
    actual = spherical_harmonics(dirs, use_autodiff)
    expected = reference.spherical_harmonics(dirs)
    assert_matches(actual, expected)
    assert_matches(
        torch.autograd.grad(actual, dirs, cotangents)[0],
        torch.autograd.grad(expected, dirs, cotangents)[0],
    )


@pytest.mark.float64
def test_gradcheck(generator, use_autodiff):
    dirs = random_dirs(generator, num_dirs=6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(spherical_harmonics, (dirs, use_autodiff))


def test_second_backward_gives_the_same_gradient(generator, use_autodiff):
    dirs = random_dirs(generator).requires_grad_()
    cotangents = torch.randn(len(dirs), NUM_COEFFICIENTS, generator=generator)
    basis = spherical_harmonics(dirs, use_autodiff)
    (first,) = torch.autograd.grad(basis, dirs, cotangents, retain_graph=True)
    (second,) = torch.autograd.grad(basis, dirs, cotangents)
    (third,) = torch.autograd.grad(spherical_harmonics(dirs, use_autodiff), dirs, cotangents)
    assert first.abs().max() > 0
    assert torch.equal(first, second)
    assert torch.equal(first, third)


def test_accumulating_twice_gives_exactly_twice(generator):
    dirs = random_dirs(generator).requires_grad_()
    cotangents = torch.randn(len(dirs), NUM_COEFFICIENTS, generator=generator)
    spherical_harmonics(dirs).backward(cotangents)
    once = dirs.grad.clone()
    spherical_harmonics(dirs).backward(cotangents)
    assert once.abs().max() > 0
    assert torch.equal(dirs.grad, 2 * once)


def test_gradient_lands_where_torch_puts_it_and_nowhere_else(generator):
    """Taichi gives every leaf that it is handed a `.grad`; torch.autograd.grad gives none."""
    dirs = random_dirs(generator).requires_grad_()
    torch.autograd.grad(spherical_harmonics(dirs).sum(), dirs)
    assert dirs.grad is None


def test_non_contiguous_dirs(generator, assert_matches):
    dirs = random_dirs(generator)
    strided = dirs.T.contiguous().T.requires_grad_()
    assert not strided.is_contiguous()
    cotangents = torch.randn(NUM_COEFFICIENTS, len(dirs), generator=generator).T
    basis = spherical_harmonics(strided)
    assert_matches(basis, reference.spherical_harmonics(dirs))
    (grad,) = torch.autograd.grad(basis, strided, cotangents)
    dirs.requires_grad_()
    (expected,) = torch.autograd.grad(reference.spherical_harmonics(dirs), dirs, cotangents)
    assert_matches(grad, expected)


def test_no_dirs():
    dirs = torch.zeros(0, 3, requires_grad=True)
    basis = spherical_harmonics(dirs)
    assert basis.shape == (0, NUM_COEFFICIENTS)
    basis.sum().backward()
    assert dirs.grad.shape == (0, 3)


@pytest.mark.parametrize(
    "dirs",
    [torch.zeros(5, 2), torch.zeros(3), torch.zeros(2, 5, 3), torch.zeros(5, 3, dtype=torch.int64)],
    ids=["two coordinates", "one dimension", "three dimensions", "integers"],
)
def test_wrong_arguments(dirs):
    with pytest.raises(ValueError, match=r"must|expected"):
        spherical_harmonics(dirs)


def test_signs_and_order_of_the_first_bands():
    along_axes = spherical_harmonics(torch.eye(3))
    band_0, band_1 = (1 / (4 * pi)) ** 0.5, (3 / (4 * pi)) ** 0.5
    expected = torch.tensor(
        [[band_0, 0, 0, -band_1], [band_0, -band_1, 0, 0], [band_0, 0, band_1, 0]]
    )
    torch.testing.assert_close(along_axes[:, :4], expected)


@pytest.mark.float64
def test_orthonormal_over_the_sphere():
    # Gauss-Legendre in cos(theta), evenly in phi: exact for the products of two basis functions.
    cos_theta, weights = np.polynomial.legendre.leggauss(8)
    phi = 2 * pi * np.arange(16) / 16
    sin_theta = np.sqrt(1 - cos_theta**2)
    dirs = np.stack(
        [
            np.outer(sin_theta, np.cos(phi)),
            np.outer(sin_theta, np.sin(phi)),
            np.outer(cos_theta, np.ones_like(phi)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    solid_angles = torch.from_numpy(np.repeat(weights * 2 * pi / len(phi), len(phi)))
    assert float(solid_angles.sum()) == pytest.approx(4 * pi)

    basis = spherical_harmonics(torch.from_numpy(dirs))
    products = basis.T @ (solid_angles[:, None] * basis)
    torch.testing.assert_close(products, torch.eye(NUM_COEFFICIENTS, dtype=torch.float64))


angles = st.floats(-pi, pi)


@settings(max_examples=25, deadline=None)
@given(angles, angles)
@pytest.mark.float64
def test_power_of_each_band_is_the_same_in_all_directions(theta, phi):
    dirs = torch.tensor(
        [[np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]],
        dtype=torch.float64,
    )
    basis = spherical_harmonics(dirs)[0]
    for band in range(4):
        power = (basis[band**2 : (band + 1) ** 2] ** 2).sum()
        assert float(power) == pytest.approx((2 * band + 1) / (4 * pi))
