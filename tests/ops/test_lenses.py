import pytest
import torch

from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.distortion import (
    FARTHEST,
    MAX_ITERATIONS,
    NEWTON_LIMITS,
    SMALL_STEP,
    distort,
    newton,
)
from taichi_pynerf.geometry.rays import any_pixel_rays
from taichi_pynerf.ops.lenses import pixel_rays, undistort

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


def random_cameras(generator, distorted, num_views=7):
    """Perspective cameras in nearly orthonormal poses, as files have them."""
    c2w = torch.randn(num_views, 3, 4, generator=generator)
    c2w[..., :3] = torch.linalg.qr(c2w[..., :3]).Q * 1.001
    fx, fy, cx, cy = 10 + 20 * torch.rand(4, num_views, generator=generator)
    size = torch.full((num_views,), 40)
    lenses = 0.1 * torch.randn(num_views, 6, generator=generator) * torch.tensor(STRENGTHS)
    return Cameras(c2w, fx, fy, cx, cy, size, size, distortion=lenses if distorted else None)


@pytest.mark.parametrize("distorted", [False, True])
@pytest.mark.parametrize("num_views", [1, 300])
def test_rays_of_pixels_match_the_twin(generator, assert_matches, distorted, num_views):
    cameras = random_cameras(generator, distorted)
    views = torch.randint(len(cameras), (num_views,), generator=generator)
    x, y = torch.randint(40, (2, 300), generator=generator)
    intrinsics = cameras.fx, cameras.fy, cameras.cx, cameras.cy
    found = pixel_rays(views, x, y, cameras.c2w, *intrinsics, cameras.distortion, NEWTON_LIMITS)
    for ours, theirs in zip(found, any_pixel_rays(cameras, views, x, y), strict=True):
        assert_matches(ours, theirs.expand_as(ours))


def test_folded_lenses_leave_areas_finite(generator):
    cameras = random_cameras(generator, distorted=True)
    cameras.distortion[:, 0] = -3
    views, (x, y) = torch.arange(7), torch.full((2, 7), 39)
    intrinsics = cameras.fx, cameras.fy, cameras.cx, cameras.cy
    found = pixel_rays(views, x, y, cameras.c2w, *intrinsics, cameras.distortion, NEWTON_LIMITS)
    assert all(values.isfinite().all() for values in found)
    assert (found[2] > 0).all()


def test_no_pixels_and_wrong_ones(generator):
    cameras, none = random_cameras(generator, distorted=False), torch.zeros(0, dtype=torch.int64)
    given = cameras.c2w, cameras.fx, cameras.fy, cameras.cx, cameras.cy, None, NEWTON_LIMITS
    assert [len(x) for x in pixel_rays(none, none, none, *given)] == [0, 0, 0]
    x = torch.zeros(5, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"views must have shape \[5\]"):
        pixel_rays(x[:3], x, x, *given)
    with pytest.raises(ValueError, match=r"pixel_x must be torch\.int64"):
        pixel_rays(x, x.float(), x, *given)
