"""Cameras without a lens: panoramas, stereo pairs, parallel rays."""

import math

import numpy as np
import pytest
import torch
from scene_makers import make_cameras, orbit_poses

from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.rays import along_rays, generate_rays, parallel_as_cones, view_rays
from taichi_pynerf.rendering.camera_kinds import cameras_of_kind, usual_size, vertical_angles


def kind_of_cameras(kind, width=64, height=32, **more):
    angles = torch.full((3,), math.radians(50))
    return cameras_of_kind(kind, orbit_poses(3), angles, width, height, **more)


def test_a_panorama_sees_the_whole_sphere():
    cameras = kind_of_cameras("equirectangular")
    rays = view_rays(cameras, 0)
    assert float(rays.pixel_areas.sum()) == pytest.approx(4 * math.pi, rel=1e-3)
    # The sum of area-weighted directions of a sphere is nothing.
    torch.testing.assert_close(
        (rays.rays_d * rays.pixel_areas[:, None]).sum(0), torch.zeros(3), atol=1e-4, rtol=0
    )
    image = rays.rays_d.view(32, 64, 3) @ cameras.c2w[0, :, :3]  # in camera axes
    np.testing.assert_allclose(image[15:17, 31:33].mean((0, 1)), [0, 0, -1], atol=0.02)
    assert (image[16, 48] @ torch.tensor([1.0, 0, 0])) > 0.98  # a quarter turn to the right
    assert (image[0, :, 1] > 0.99).all()  # the zenith
    assert torch.equal(rays.rays_o, cameras.c2w[0, :, 3].expand_as(rays.rays_o))


@pytest.mark.parametrize("kind", ["equirectangular", "orthographic", "fisheye", "perspective"])
def test_projection_is_the_inverse_of_the_rays(kind):
    cameras = kind_of_cameras(kind)
    rays = view_rays(cameras, 1)
    points = rays.rays_o + 3.7 * rays.rays_d
    pixels, depth = cameras.project(1, points)
    expected = torch.cartesian_prod(torch.arange(32), torch.arange(64)).flip(-1) + 0.5
    torch.testing.assert_close(pixels, expected, atol=2e-2, rtol=0)
    assert (depth > 0).all()
    assert cameras.pixels_with_rays(1) is None


def test_depths_of_a_panorama_are_distances():
    cameras = Cameras.cat([kind_of_cameras("equirectangular"), kind_of_cameras("perspective")])
    depths = torch.full((64 * 32,), 2.0)
    for view, nearest in ((0, 2.0), (3, 2.0)):
        views = torch.full((len(depths),), view)
        along = along_rays(depths, view_rays(cameras, view), cameras, views)
        assert float(along.min()) == pytest.approx(nearest, rel=1e-2)
        assert (float(along.max()) > 2.1) == (view == 3)  # the corners of a plane are farther away


def test_areas_of_a_panorama_are_those_of_its_pixels():
    cameras = kind_of_cameras("equirectangular", width=16, height=8)
    fine = cameras.resized(16 * cameras.width, 16 * cameras.height)
    areas = view_rays(fine, 0).pixel_areas.view(8, 16, 16, 16).sum((1, 3))
    torch.testing.assert_close(
        view_rays(cameras, 0).pixel_areas.view(8, 16), areas, rtol=7e-3, atol=0
    )


def test_a_stereo_pair_is_two_halves_of_panoramas():
    pair = kind_of_cameras("vr180", width=32, height=32, eye_distance=0.5)
    assert int(pair.width[0]) == 64
    rays = view_rays(pair, 0)
    halves = rays.rays_d.view(32, 2, 32, 3)
    torch.testing.assert_close(halves[:, 0], halves[:, 1])  # parallel gazes
    eyes = rays.rays_o.view(32, 2, 32, 3)
    step = eyes[0, 1, 0] - eyes[0, 0, 0]
    torch.testing.assert_close(step, 0.5 * pair.c2w[0, :, 0])
    assert float(rays.pixel_areas.sum()) == pytest.approx(4 * math.pi, rel=1e-3)  # two halves
    ahead = halves[15:17, 0, 15:17].mean((0, 1))
    assert float(ahead @ -pair.c2w[0, :, 2]) > 0.99
    smaller = pair.downscaled(2)
    assert float(smaller.cx[0]) == 8
    torch.testing.assert_close(
        view_rays(smaller, 0).rays_d.view(16, 2, 16, 3)[:, 0],
        view_rays(smaller, 0).rays_d.view(16, 2, 16, 3)[:, 1],
    )


def test_parallel_rays_see_as_much_at_the_middle_as_a_perspective_camera():
    center = (0.1, -0.2, 0.05)
    parallel = kind_of_cameras("orthographic", center=center)
    usual = kind_of_cameras("perspective")
    rays = view_rays(parallel, 0)
    assert (rays.rays_d == rays.rays_d[0]).all()
    torch.testing.assert_close(rays.rays_d[0], -parallel.c2w[0, :, 2])
    # A point on the plane through the middle across the axis is seen in the same place.
    right, up, back, eye = parallel.c2w[0].unbind(-1)
    distance = float((torch.tensor(center) - eye) @ -back)
    points = eye - distance * back + 0.3 * right + torch.tensor([[-0.2], [0.4]]) * up
    torch.testing.assert_close(
        parallel.project(0, points)[0], usual.project(0, points)[0], atol=1e-3, rtol=0
    )
    cones, shift = parallel_as_cones(rays, center, 2.0, 8.0)
    assert shift == 16.0
    widths = (cones.pixel_areas.sqrt() * (distance + shift)).mul(parallel.fx[0])
    torch.testing.assert_close(widths, torch.ones_like(widths), rtol=1e-3, atol=0)
    torch.testing.assert_close(cones.rays_o + shift * cones.rays_d, rays.rays_o, atol=1e-5, rtol=0)


def test_kinds_stand_side_by_side():
    plain = make_cameras(2, width=64, height=32)
    mixed = Cameras.cat([plain, kind_of_cameras("equirectangular"), kind_of_cameras("vr180")])
    assert mixed.is_panorama(2)
    assert not mixed.is_panorama(0)
    x, y = torch.tensor([5, 5, 5]), torch.tensor([7, 7, 7])
    rays = generate_rays(mixed, torch.tensor([0, 2, 5]), x, y)
    alone = [
        generate_rays(cameras, torch.tensor([0]), x[:1], y[:1])
        for cameras in (plain, kind_of_cameras("equirectangular"), kind_of_cameras("vr180"))
    ]
    for i, ray in enumerate(alone):
        torch.testing.assert_close(rays.rays_d[i], ray.rays_d[0])
        torch.testing.assert_close(rays.pixel_areas[i], ray.pixel_areas[0])


def test_sizes_and_angles():
    assert usual_size("equirectangular", 100, 50) == (100, 50)
    assert usual_size("vr180", 100, 60) == (60, 60)
    assert usual_size("perspective", 100, 60) == (100, 60)
    angles = vertical_angles(kind_of_cameras("perspective"))
    torch.testing.assert_close(angles, torch.full((3,), math.radians(50)))
    fisheye = kind_of_cameras("fisheye")
    assert float(vertical_angles(fisheye)[0]) == pytest.approx(math.radians(50))
    up = view_rays(fisheye, 0).rays_d.view(32, 64, 3) @ fisheye.c2w[0, :, :3]
    tilt = torch.atan2(up[0, 31:33, 1], -up[0, 31:33, 2]).mean()  # half a pixel below the edge
    assert float(tilt) == pytest.approx(math.radians(25) * 31 / 32, rel=1e-3)
    with pytest.raises(ValueError, match="cubemap"):
        kind_of_cameras("cubemap")
