import math

import pytest
import torch
from scene_makers import make_cameras

from taichi_pynerf.geometry.cameras import Cameras, look_at
from taichi_pynerf.geometry.rays import generate_rays, view_rays


def one_camera(c2w, width=5, height=3, fx=4.0, fy=4.0):
    return Cameras(
        c2w=torch.as_tensor(c2w)[None],
        fx=torch.tensor([fx]),
        fy=torch.tensor([fy]),
        cx=torch.tensor([0.5 * width]),
        cy=torch.tensor([0.5 * height]),
        width=torch.tensor([width]),
        height=torch.tensor([height]),
    )


IDENTITY = torch.eye(4)[:3]


def test_look_at_is_a_rotation_that_faces_the_target():
    pose = look_at((1.0, 2.0, 3.0), (-1.0, 0.5, 0.0))
    rotation = pose[:, :3]
    torch.testing.assert_close(rotation.T @ rotation, torch.eye(3))
    assert torch.linalg.det(rotation) > 0
    view = torch.tensor([-2.0, -1.5, -3.0])
    torch.testing.assert_close(-rotation[:, 2], view / view.norm())
    assert rotation[2, 0].abs() < 1e-6  # x is level
    assert rotation[2, 1] > 0  # y points up
    torch.testing.assert_close(pose[:, 3], torch.tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("eye", "target", "up"),
    [((1, 1, 1), (1, 1, 1), (0, 0, 1)), ((0, 0, 2), (0, 0, 0), (0, 0, 1))],
)
def test_look_at_refuses_views_without_a_direction(eye, target, up):
    with pytest.raises(ValueError, match="look_at"):
        look_at(eye, target, up)


def test_centre_pixel_looks_along_minus_z():
    rays = view_rays(one_camera(IDENTITY), 0)
    torch.testing.assert_close(rays.rays_d[7], torch.tensor([0.0, 0.0, -1.0]))


def test_corner_rays_by_hand():
    rays = view_rays(one_camera(IDENTITY, fx=4.0, fy=2.0), 0)
    top_left, bottom_right = rays.rays_d[0], rays.rays_d[-1]
    # Pixel (0, 0) has its centre 2 pixels left of the middle and 1 above it.
    torch.testing.assert_close(top_left / -top_left[2], torch.tensor([-0.5, 0.5, -1.0]))
    torch.testing.assert_close(bottom_right / -bottom_right[2], torch.tensor([0.5, -0.5, -1.0]))


def test_rays_follow_the_pose():
    # A camera on the x axis that looks back at the origin, with z up: its right is +y.
    pose = look_at((4.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    rays = view_rays(one_camera(pose), 0)
    torch.testing.assert_close(rays.rays_o, torch.tensor([4.0, 0.0, 0.0]).expand(15, 3))
    torch.testing.assert_close(rays.rays_d[7], torch.tensor([-1.0, 0.0, 0.0]))
    assert rays.rays_d[9, 1] > 0
    assert rays.rays_d[2, 2] > 0


def test_view_rays_and_generate_rays_agree():
    cameras = make_cameras(num_views=2, width=6, height=4)
    y, x = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    for view in range(2):
        indices = torch.full((24,), view)
        image = view_rays(cameras, view, (0.5, 7.0))
        single = generate_rays(cameras, indices, x.flatten(), y.flatten(), (0.5, 7.0))
        for name, whole in vars(image).items():
            torch.testing.assert_close(whole, getattr(single, name), rtol=0, atol=0)
            assert whole.dtype == torch.float32
            assert whole.is_contiguous()


def test_rays_are_whole_without_bounds_and_each_may_have_its_own():
    cameras = make_cameras(num_views=1, width=2, height=2)
    assert view_rays(cameras, 0).bounds.tolist() == [[0.0, math.inf]] * 4
    assert view_rays(cameras, 0, (0.5, 7.0)).bounds.tolist() == [[0.5, 7.0]] * 4
    own = torch.tensor([[0.5, 7.0], [1.0, 2.0], [0.0, 3.0], [2.0, 9.0]])
    rays = view_rays(cameras, 0, own)
    assert torch.equal(rays.bounds, own)
    assert torch.equal(rays[1:3].bounds, own[1:3])


def test_rays_of_imprecise_poses_are_unit_vectors():
    pose = IDENTITY.clone()
    pose[:, :3] *= 1.004
    rays_d = view_rays(one_camera(pose), 0).rays_d
    torch.testing.assert_close(rays_d.norm(dim=-1), torch.ones(15))


@pytest.mark.parametrize("focal", [40.0, 100.0, 1000.0])
def test_pixel_areas_add_up_to_the_solid_angle_of_the_image(focal):
    width, height = 200, 120
    areas = view_rays(one_camera(IDENTITY, width, height, focal, focal), 0).pixel_areas
    # The rectangular pyramid of half angles a, b has the solid angle 4 asin(sin a sin b).
    half_x, half_y = math.atan(0.5 * width / focal), math.atan(0.5 * height / focal)
    solid_angle = 4.0 * math.asin(math.sin(half_x) * math.sin(half_y))
    assert areas.double().sum().item() == pytest.approx(solid_angle, rel=1e-4)


def test_pixel_area_in_the_centre_is_that_of_the_pixel_at_distance_one():
    areas = view_rays(one_camera(IDENTITY, fx=4.0, fy=5.0), 0).pixel_areas
    assert areas[7].item() == pytest.approx(1.0 / 20.0)
    assert areas.argmax() == 7


def test_downscaled_pixels_lie_over_the_fine_ones():
    camera = make_cameras(num_views=1, width=8, height=4)
    coarse = camera.downscaled(2)
    assert (coarse.width.item(), coarse.height.item()) == (4, 2)

    def on_plane(cameras):
        rays_d = view_rays(cameras, 0).rays_d @ cameras.c2w[0, :, :3]  # in camera axes
        return (rays_d / -rays_d[:, 2:]).view(cameras.height[0], cameras.width[0], 3)

    fine_means = on_plane(camera).view(2, 2, 4, 2, 3).mean(dim=(1, 3))
    torch.testing.assert_close(on_plane(coarse), fine_means)
    torch.testing.assert_close(coarse.downscaled(2).fx, camera.fx / 4, rtol=0, atol=0)


def test_downscaled_crops_a_rest_and_refuses_to_leave_nothing():
    camera = make_cameras(num_views=1, width=7, height=5)
    assert (camera.downscaled(3).width.item(), camera.downscaled(3).height.item()) == (2, 1)
    with pytest.raises(ValueError, match="without pixels"):
        camera.downscaled(6)
    with pytest.raises(ValueError, match="factor of 1 or more"):
        camera.downscaled(0)


def test_cat_and_to_keep_every_field():
    cameras = make_cameras(num_views=2)
    both = Cameras.cat([cameras, cameras.downscaled(2)]).to("cpu")
    assert len(both) == 4
    assert both.width.tolist() == [16, 16, 8, 8]
    torch.testing.assert_close(both.c2w[2:], cameras.c2w)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("c2w", torch.zeros(1, 4, 4)),
        ("fx", torch.zeros(2)),
        ("cx", torch.zeros(1, dtype=torch.float64)),
        ("width", torch.zeros(1)),
    ],
)
def test_cameras_check_their_fields(field, value):
    fields = dict(vars(make_cameras(num_views=1)))
    fields[field] = value
    with pytest.raises(ValueError, match="Cameras"):
        Cameras(**fields)
