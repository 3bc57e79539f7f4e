import pytest
import torch

from taichi_pynerf.geometry.distortion import FARTHEST, MAX_ITERATIONS, SMALL_STEP, distort, newton
from taichi_pynerf.ops.lenses import undistort

LIMITS = (MAX_ITERATIONS, SMALL_STEP, FARTHEST)
STRENGTHS = (0.1, 0.05, 0.01, 0.003, 0.01, 0.01)  # of k1, k2, k3, k4, p1, p2


def random_points(generator, num_points=500, num_lenses=500, dtype=torch.float32):
    """Image points, moved by random lenses."""
    x, y = 1.4 * torch.rand(2, num_points, generator=generator, dtype=dtype) - 0.7
    lenses = torch.randn(num_lenses, 6, generator=generator, dtype=dtype).clamp(-2, 2)
    lenses *= torch.tensor(STRENGTHS, dtype=dtype)
    return (x, y), distort(x, y, lenses), lenses


@pytest.mark.parametrize("num_lenses", [1, 500])
@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.float64)]
)
def test_matches_twin_and_inverts(generator, assert_matches, dtype, num_lenses):
    points, moved, lenses = random_points(generator, num_lenses=num_lenses, dtype=dtype)
    found = undistort(*moved, lenses, *LIMITS)
    for ours, theirs in zip(found, newton(*moved, lenses), strict=True):
        assert_matches(ours, theirs)
    for ours, truth in zip(found, points, strict=False):
        torch.testing.assert_close(ours, truth, atol=1e-5, rtol=0)


def test_points_without_an_inverse_are_finite():
    lens = torch.tensor([[-0.5, 0.0, 0.0, 0.0, 0.0, 0.0]])
    x = torch.tensor([0.0, 3.0, -1e4, 1e20])
    for values in undistort(x, torch.zeros(4), lens, *LIMITS)[:2]:
        assert (values.abs() <= FARTHEST).all()


def test_no_points_and_strided_ones(generator, assert_matches):
    _, moved, lenses = random_points(generator)
    assert all(len(x) == 0 for x in undistort(*(x[:0] for x in moved), lenses[:0], *LIMITS))
    strided = [torch.stack([x, x], dim=1)[:, 0] for x in moved]
    for ours, theirs in zip(
        undistort(*strided, lenses.T.contiguous().T, *LIMITS),
        undistort(*moved, lenses, *LIMITS),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


def test_shapes_and_types_are_checked(generator):
    _, (x, y), lenses = random_points(generator, num_points=5, num_lenses=5)
    with pytest.raises(ValueError, match=r"lenses must have shape \[5, 6\]"):
        undistort(x, y, lenses[:3], *LIMITS)
    with pytest.raises(ValueError, match=r"y_moved must be torch\.float32"):
        undistort(x, y.double(), lenses, *LIMITS)
