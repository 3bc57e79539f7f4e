"""Boxes that cut a scene."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.geometry.rays import Rays

numbers = st.floats(-2, 2)
boxes = st.builds(
    CropBox,
    st.tuples(numbers, numbers, numbers),
    st.tuples(*[st.floats(0.1, 3)] * 3),
    st.tuples(*[st.floats(-math.pi, math.pi)] * 3),
)


def random_rays(num_rays=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rays_o = 4 * torch.randn(num_rays, 3, generator=generator)
    rays_d = torch.nn.functional.normalize(torch.randn(num_rays, 3, generator=generator), dim=-1)
    return Rays(
        rays_o, rays_d, torch.ones(num_rays), torch.tensor([[0.1, 20.0]]).repeat(num_rays, 1)
    )


@settings(max_examples=30, deadline=None)
@given(box=boxes)
def test_bounds_are_where_a_ray_is_within(box):
    rays = random_rays()
    clipped = box.clip(rays)
    near, far = clipped.bounds.unbind(-1)
    assert (near <= far).all()
    assert (near >= 0.1).all()
    t = torch.linspace(0.1, 20.0, 301)
    points = rays.rays_o[:, None] + t[:, None] * rays.rays_d[:, None]
    inside = box.contains(points.view(-1, 3)).view(len(rays), -1)
    within = (t >= near[:, None]) & (t <= far[:, None])
    # At the very surface rounding decides.
    edge = ((t - near[:, None]).abs() < 1e-3) | ((t - far[:, None]).abs() < 1e-3)
    assert (inside == within)[~edge].all()


@settings(max_examples=30, deadline=None)
@given(box=boxes)
def test_corners_are_the_ends_of_the_sides(box):
    corners = box.corners()
    for axis, bit in enumerate((4, 2, 1)):
        step = corners[bit] - corners[0]
        assert float(step.norm()) == pytest.approx(box.size[axis])
    np.testing.assert_allclose(corners.mean(0), box.center, atol=1e-9)
    around = torch.tensor(box.around(), dtype=torch.float64)
    assert (corners >= around[:3] - 1e-9).all()
    assert (corners <= around[3:] + 1e-9).all()


def test_angles_are_roll_pitch_and_yaw():
    turned = CropBox((0, 0, 0), (1, 1, 1), (0, 0, math.pi / 2)).axes
    torch.testing.assert_close(turned[:, 0], torch.tensor([0.0, 1, 0], dtype=torch.float64))
    both = CropBox((0, 0, 0), (1, 1, 1), (math.pi / 2, 0, math.pi / 2)).axes
    # First about x, so that y comes to z; then about z, which leaves it there.
    torch.testing.assert_close(both[:, 1], torch.tensor([0.0, 0, 1], dtype=torch.float64))


def test_a_box_along_the_axes():
    box = CropBox.from_aabb((-1, 0, 2, 3, 1, 4))
    assert box == CropBox((1, 0.5, 3), (4, 1, 2))
    assert box.around() == (-1, 0, 2, 3, 1, 4)
    with pytest.raises(ValueError, match="above 0"):
        CropBox.from_aabb((0, 0, 0, 1, 0, 1))
    with pytest.raises(ValueError, match="center"):
        CropBox((0, math.nan, 0), (1, 1, 1))
