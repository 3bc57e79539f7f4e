import math

import pytest
import torch
from scene_makers import make_cameras, orbit_poses

from taichi_pynerf.geometry import distortion
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.distortion import distort, fold_radius, has_inverse, undistort
from taichi_pynerf.geometry.rays import generate_rays, view_rays

# Of a phone, of a wide lens with a barrel, of a cushion, and decentred.
LENSES = {
    "phone": [0.0578, -0.0805, 0.0, 0.0, -0.00098, 0.00015],
    "barrel": [-0.28, 0.09, -0.01, 0.0, 0.0, 0.0],
    "cushion": [0.25, 0.1, 0.02, 0.005, 0.0, 0.0],
    "decentred": [-0.1, 0.02, 0.0, 0.0, 0.02, -0.03],
}
FISHEYE = [0.03, -0.01, 0.004, -0.001, 0.0, 0.0]


def make_lenses(lenses, fisheye=None, width=64, height=96, focal=60.0):
    """A camera on a circle for each lens."""
    num_views = len(lenses)
    full = torch.full
    return Cameras(
        c2w=orbit_poses(num_views),
        fx=full((num_views,), focal),
        fy=full((num_views,), 1.1 * focal),
        cx=full((num_views,), 0.5 * width + 3.3),
        cy=full((num_views,), 0.5 * height - 2.7),
        width=full((num_views,), width),
        height=full((num_views,), height),
        distortion=torch.tensor(lenses),
        fisheye=None if fisheye is None else torch.tensor(fisheye),
    )


def pixel_grid(camera_width, camera_height):
    y, x = torch.meshgrid(torch.arange(camera_height), torch.arange(camera_width), indexing="ij")
    return torch.stack([x, y], dim=-1).view(-1, 2)


def opencv_radial_tangential(x, y, k1, k2, k3, p1, p2):
    """OpenCV's formula, term by term."""
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2 * r2 + k3 * r2 * r2 * r2
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


def test_distortion_is_opencvs():
    x, y = torch.rand(2, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    k1, k2, k3, p1, p2 = -0.2, 0.1, 0.05, 0.01, -0.02
    lens = torch.tensor([k1, k2, k3, 0.0, p1, p2], dtype=torch.float64)
    expected = opencv_radial_tangential(x, y, k1, k2, k3, p1, p2)
    torch.testing.assert_close(distort(x, y, lens), expected)


@pytest.mark.parametrize("name", LENSES)
def test_undistort_inverts_to_float_precision(name):
    lens = torch.tensor(LENSES[name])
    axis = torch.linspace(-0.8, 0.8, 81)
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    x_again, y_again, determinant = undistort(*distort(x, y, lens), lens)
    torch.testing.assert_close(x_again, x, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(y_again, y, atol=1e-6, rtol=1e-6)
    # The determinant is that of finite differences in double precision.
    step, lens64 = 1e-6, lens.double()
    right, left = (distort(x.double() + s, y.double(), lens64) for s in (step, -step))
    below, above = (distort(x.double(), y.double() + s, lens64) for s in (step, -step))
    xx, yx = ((a - b) / (2 * step) for a, b in zip(right, left, strict=True))
    xy, yy = ((a - b) / (2 * step) for a, b in zip(below, above, strict=True))
    torch.testing.assert_close(determinant.double(), xx * yy - xy * yx, atol=1e-5, rtol=1e-5)


def test_beyond_the_fold_nothing_is_found_and_all_is_finite():
    lens = [-0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    fold = fold_radius(lens)
    assert fold == pytest.approx(math.sqrt(1 / 1.5))
    highest = fold * (1 - 0.5 * fold**2)
    x = torch.tensor([0.0, 0.5 * highest, 0.99 * highest, 1.01 * highest, 3.0, 1e4])
    y = torch.zeros(6)
    assert has_inverse(x, y, lens).tolist() == [True, True, True, False, False, False]
    for values in undistort(x, y, torch.tensor(lens)):
        assert torch.isfinite(values).all()
    assert fold_radius([0.1, 0.0, 0.0, 0.0]) == math.inf
    assert fold_radius([0.0] * 6) == math.inf


@pytest.mark.parametrize("name", LENSES)
def test_rays_and_projection_are_inverse(name):
    cameras = make_lenses([LENSES[name]])
    rays = view_rays(cameras, 0)
    points = rays.rays_o + rays.rays_d * torch.linspace(0.5, 9.0, len(rays.rays_o))[:, None]
    pixels, depth = cameras.project(0, points)
    torch.testing.assert_close(pixels, pixel_grid(64, 96) + 0.5, atol=2e-4, rtol=0)
    assert (depth > 0).all()


@pytest.mark.parametrize("name", LENSES)
def test_before_a_backend_is_started_torch_finds_the_same_rays(monkeypatch, name):
    cameras = make_lenses([LENSES[name]])
    by_kernel = view_rays(cameras, 0)
    monkeypatch.setattr(distortion, "runs_kernels", lambda _: False)
    for values, others in zip(
        vars(by_kernel).values(), vars(view_rays(cameras, 0)).values(), strict=True
    ):
        torch.testing.assert_close(values, others, rtol=1e-5, atol=1e-6)


def test_fisheye_rays_and_projection_are_inverse_beyond_half_a_turn():
    # 200 degrees across the diagonal; the corner looks behind.
    cameras = make_lenses([FISHEYE], [True], width=64, height=64, focal=26.0)
    rays = view_rays(cameras, 0)
    points = rays.rays_o + 3.0 * rays.rays_d
    pixels, depth = cameras.project(0, points)
    torch.testing.assert_close(pixels, pixel_grid(64, 64) + 0.5, atol=3e-4, rtol=0)
    assert depth.min() < 0 < depth.max()


def test_rays_of_a_known_direction():
    """Directions, pushed through the formulas of the lenses by hand, come back as rays."""
    plain, lens, eye = [0.0] * 6, LENSES["decentred"], FISHEYE
    cameras = make_lenses([plain, lens, eye], [False, False, True])
    k1, k2, k3, _, p1, p2 = lens
    views, x, y = torch.tensor([0, 1, 2]), torch.tensor([60, 11, 5]), torch.tensor([2, 90, 47])
    rays = generate_rays(cameras, views, x, y)
    u = (x + 0.5 - cameras.cx) / cameras.fx
    v = (y + 0.5 - cameras.cy) / cameras.fy
    in_camera = torch.einsum("vij,vi->vj", cameras.c2w[:, :, :3], rays.rays_d)
    right, down, forward = in_camera[:, 0], -in_camera[:, 1], -in_camera[:, 2]
    seen = torch.stack([right / forward, down / forward], dim=-1)
    torch.testing.assert_close(seen[0], torch.stack([u[0], v[0]]), atol=1e-6, rtol=0)
    moved = opencv_radial_tangential(*seen[1], k1, k2, k3, p1, p2)
    torch.testing.assert_close(torch.stack(moved), torch.stack([u[1], v[1]]), atol=1e-6, rtol=0)
    theta = torch.atan2(torch.hypot(right[2], down[2]), forward[2])
    bent = theta * (1 + sum(k * theta ** (2 * i + 2) for i, k in enumerate(eye[:4])))
    angle = torch.atan2(down[2], right[2])
    fisheye = torch.stack([bent * angle.cos(), bent * angle.sin()])
    torch.testing.assert_close(fisheye, torch.stack([u[2], v[2]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("lens", "fisheye"), [(LENSES["barrel"], False), (LENSES["decentred"], False), (FISHEYE, True)]
)
def test_pixel_areas_are_the_solid_angles_between_neighbouring_rays(lens, fisheye):
    cameras = make_lenses([lens], [fisheye], width=300, height=200, focal=150.0)
    rays = view_rays(cameras, 0)
    rays_d = rays.rays_d.double().view(200, 300, 3)
    across = (rays_d[1:-1, 2:] - rays_d[1:-1, :-2]) / 2
    along = (rays_d[2:, 1:-1] - rays_d[:-2, 1:-1]) / 2
    expected = torch.linalg.cross(across, along).norm(dim=-1)
    areas = rays.pixel_areas.double().view(200, 300)[1:-1, 1:-1]
    torch.testing.assert_close(areas, expected, rtol=2e-3, atol=0)


def test_no_distortion_by_coefficients_is_no_distortion():
    cameras = make_cameras(num_views=2)
    lens = Cameras(**{**vars(cameras), "distortion": torch.zeros(2, 6)})
    plain, bent = view_rays(cameras, 1), view_rays(lens, 1)
    for name, values in vars(plain).items():
        torch.testing.assert_close(values, getattr(bent, name), rtol=1e-6, atol=1e-7)


def test_points_that_no_lens_sees_project_to_nan():
    cameras = make_lenses([[-0.5, 0, 0, 0, 0, 0], LENSES["barrel"]])
    c2w = cameras.c2w[0]

    def project(x, y, z):  # camera axes
        pixels, depth = cameras.project(0, (c2w[:, :3] @ torch.tensor([x, y, z]) + c2w[:, 3])[None])
        return pixels[0], depth.item()

    ahead, depth = project(0.0, 0.0, -2.0)
    torch.testing.assert_close(ahead, torch.tensor([35.3, 45.3]), atol=1e-4, rtol=0)
    assert depth == pytest.approx(2.0)
    behind, depth = project(0.0, 0.0, 2.0)
    assert behind.isnan().all()
    assert depth == pytest.approx(-2.0)
    folded, _ = project(2.0, 0.0, -1.0)  # the polynomial would put it back into the image
    assert folded.isnan().all()


def test_pixels_without_rays_are_known():
    folding = [-0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    cameras = make_lenses([LENSES["phone"], folding])
    assert make_cameras().pixels_with_rays(0) is None
    assert cameras.pixels_with_rays(0) is None
    seen = cameras.pixels_with_rays(1)
    assert seen.shape == (96, 64)
    assert seen[48, 32]
    assert not seen[0, 0]
    radius = torch.linalg.vector_norm(
        (pixel_grid(64, 96) + 0.5 - torch.tensor([35.3, 45.3])) / torch.tensor([60.0, 66.0]), dim=-1
    )
    fold = fold_radius(folding)
    limit = fold * (1 - 0.5 * fold**2)
    clear_cut = (radius - limit).abs() > 0.01
    assert torch.equal(seen.view(-1)[clear_cut], (radius < limit)[clear_cut])


def test_views_through_one_lens_share_the_pixels_with_rays():
    folding = [-0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    cameras = make_lenses([folding, LENSES["phone"], folding])
    first, sharp, again = cameras.pixels_with_rays_of(range(3))
    assert torch.equal(first, cameras.pixels_with_rays(0))
    assert sharp is None
    assert again is first


def test_fisheye_pixels_outside_of_its_circle_have_no_rays():
    cameras = make_lenses([[0.0] * 6], [True], width=64, height=64, focal=9.0)
    seen = cameras.pixels_with_rays(0)
    assert seen[32, 32]
    assert not seen[0, 0]
    for values in vars(view_rays(cameras, 0, (0.0, 9.0))).values():
        assert torch.isfinite(values).all()


def test_every_view_keeps_its_lens():
    cameras = make_lenses([LENSES["phone"], FISHEYE], [False, True])
    plain = make_cameras(num_views=1)
    both = Cameras.cat([plain, cameras])
    assert both.distortion.tolist() == torch.tensor([[0.0] * 6, LENSES["phone"], FISHEYE]).tolist()
    assert both.fisheye.tolist() == [False, False, True]
    assert Cameras.cat([plain, plain]).distortion is None
    chosen = both.select([2, 0])
    assert chosen.fisheye.tolist() == [True, False]
    assert torch.equal(chosen.c2w[0], cameras.c2w[1])
    half = cameras.downscaled(2)
    assert torch.equal(half.distortion, cameras.distortion)
    resized = cameras.resized(cameras.width * 2, cameras.height // 3)
    assert resized.fx.tolist() == pytest.approx((2 * cameras.fx).tolist())
    assert resized.cy.tolist() == pytest.approx((cameras.cy / 3).tolist())
    assert resized.height.tolist() == [32, 32]
