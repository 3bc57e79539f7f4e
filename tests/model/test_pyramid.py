import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taichi_pynerf.model.pyramid import (
    DEFAULT_PIXEL_AREA,
    compute_sample_area,
    create_pyramid_hierarchy,
    get_pyramid_level,
    interpolate_pyramid_outputs,
    split_level,
)

LEVELS = [16, 32, 64, 128, 256]
UNEVEN = [16, 20, 64, 80, 400]


def level_of_width(width, resolutions=LEVELS, box_size=1.0):
    """The level of one footprint of the given width, in float64."""
    area = torch.tensor([float(width) ** 2], dtype=torch.float64)
    return get_pyramid_level(area, resolutions, box_size).item()


# ---- hierarchy --------------------------------------------------------------------------------


def test_hierarchy_of_the_contract():
    resolutions = create_pyramid_hierarchy(
        num_levels=6, base_resolution=32, scale_factor=1.5, max_resolution=1024
    )
    assert resolutions == [32, 48, 72, 108, 162, 243]


def test_default_hierarchy_doubles_from_16_to_2048():
    assert create_pyramid_hierarchy() == [16, 32, 64, 128, 256, 512, 1024, 2048]


@pytest.mark.parametrize(
    ("max_resolution", "expected"),
    [(16, [16]), (31, [16]), (32, [16, 32]), (100, [16, 32, 64]), (10**6, [16, 32, 64, 128])],
)
def test_hierarchy_ends_at_the_cap(max_resolution, expected):
    assert create_pyramid_hierarchy(4, 16, 2.0, max_resolution) == expected


@pytest.mark.parametrize(("num_levels", "scale_factor"), [(5000, 2.0), (8, 1e300)])
def test_hierarchy_asks_nothing_of_levels_beyond_the_cap(num_levels, scale_factor):
    resolutions = create_pyramid_hierarchy(num_levels, 16, scale_factor, max_resolution=2048)
    assert resolutions == create_pyramid_hierarchy(8, 16, min(scale_factor, 1e9), 2048)


@settings(deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 64), st.floats(1.05, 4.0), st.integers(0, 5000)
)  # fmt: skip
def test_hierarchy_is_strictly_ascending_and_within_the_cap(num_levels, base, scale_factor, more):
    try:
        resolutions = create_pyramid_hierarchy(num_levels, base, scale_factor, base + more)
    except ValueError:
        assert math.floor(base * scale_factor) == base  # the first step gives nothing new
        return
    assert resolutions[0] == base
    assert len(resolutions) <= num_levels
    assert resolutions[-1] <= base + more
    assert all(a < b for a, b in itertools.pairwise(resolutions))


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_levels": 0},
        {"base_resolution": 0},
        {"scale_factor": 1.0},
        {"scale_factor": 0.5},
        {"scale_factor": math.nan},
        {"scale_factor": 1.01},
        {"max_resolution": 15},
    ],
    ids=str,
)
def test_hierarchy_refuses(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        create_pyramid_hierarchy(**wrong)


# ---- footprints -------------------------------------------------------------------------------


def test_sample_area_is_the_pixel_area_times_the_squared_distance():
    rays_o = torch.zeros(2, 3)
    rays_d = torch.tensor([[0.0, 0.0, 1.0], [0.0, 3.0, 4.0]])  # of lengths 1 and 5
    z_vals = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]])
    areas = compute_sample_area(rays_o, rays_d, z_vals, torch.tensor([0.5, 0.1]))
    expected = torch.tensor([[0.5, 2.0, 8.0], [2.5, 10.0, 40.0]])
    torch.testing.assert_close(areas, expected)


def test_sample_area_of_one_pixel_area_for_all_rays():
    rays_d = torch.tensor([[0.0, 2.0, 0.0]])
    areas = compute_sample_area(torch.zeros(1, 3), rays_d, torch.tensor([[3.0]]), 0.25)
    assert areas.item() == pytest.approx(0.25 * 36)
    default = compute_sample_area(torch.zeros(1, 3), rays_d, torch.tensor([[3.0]]))
    assert default.item() == pytest.approx(DEFAULT_PIXEL_AREA * 36)


def test_sample_area_is_the_same_point_whatever_the_length_of_its_direction():
    rays_o, rays_d = torch.rand(5, 3), torch.rand(5, 3) + 0.1
    z_vals = torch.rand(5, 7) + 1
    areas = compute_sample_area(rays_o, rays_d, z_vals)
    torch.testing.assert_close(compute_sample_area(rays_o, 4 * rays_d, z_vals / 4), areas)


def test_sample_area_is_the_same_wherever_the_camera_stands():
    rays_o, rays_d, z_vals = torch.rand(5, 3), torch.rand(5, 3) + 0.1, torch.rand(5, 7) + 1
    areas = compute_sample_area(rays_o, rays_d, z_vals)
    torch.testing.assert_close(compute_sample_area(rays_o + 9.0, rays_d, z_vals), areas)


@pytest.mark.parametrize(
    ("rays_o", "rays_d", "z_vals"),
    [((4, 3), (5, 3), (4, 2)), ((4, 2), (4, 2), (4, 2)), ((4, 3), (4, 3), (5, 2))],
)
def test_sample_area_refuses_shapes_that_do_not_fit(rays_o, rays_d, z_vals):
    with pytest.raises(ValueError, match="must"):
        compute_sample_area(torch.ones(rays_o), torch.ones(rays_d), torch.ones(z_vals))


# ---- levels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("resolutions", [LEVELS, UNEVEN, [32, 48, 72, 108, 162, 243]], ids=str)
@pytest.mark.parametrize("box_size", [1.0, 3.0])
def test_a_footprint_as_wide_as_a_cell_has_the_level_of_the_cell(resolutions, box_size):
    for level, resolution in enumerate(resolutions):
        found = level_of_width(box_size / resolution, resolutions, box_size)
        assert found == pytest.approx(level, abs=1e-9)


@settings(deadline=None)
@given(st.floats(1 / 255, 1 / 33))
def test_level_falls_by_exactly_1_when_the_width_grows_by_the_scale_factor(width):
    assert level_of_width(2 * width) == pytest.approx(level_of_width(width) - 1, abs=1e-9)


@settings(deadline=None)
@given(st.floats(1e-6, 1.0), st.floats(1.001, 10.0), st.sampled_from([LEVELS, UNEVEN]))
def test_a_larger_footprint_never_has_a_finer_level(width, factor, resolutions):
    level, level_of_larger = (
        level_of_width(w, resolutions) for w in (width, width * factor)
    )  # fmt: skip
    assert 0 <= level_of_larger <= level <= len(resolutions) - 1
    if level_of_larger > 0 and level < len(resolutions) - 1:
        assert level_of_larger < level


@pytest.mark.parametrize("area", [0.0, 1e-38])
def test_the_smallest_footprints_have_the_finest_level(area):
    assert get_pyramid_level(torch.tensor([area]), LEVELS).item() == len(LEVELS) - 1


@pytest.mark.parametrize("area", [1.0, 1e30, math.inf])
def test_the_largest_footprints_have_level_0(area):
    assert get_pyramid_level(torch.tensor([area]), LEVELS).item() == 0


@settings(deadline=None)
@given(st.integers(0, 3), st.floats(0.0, 1.0))
def test_between_uneven_resolutions_the_level_is_linear_in_the_logarithm(level, share):
    coarse, fine = UNEVEN[level], UNEVEN[level + 1]
    width = 1 / (coarse ** (1 - share) * fine**share)
    assert level_of_width(width, UNEVEN) == pytest.approx(level + share, abs=1e-9)


def test_rounded_resolutions_are_on_their_levels_but_for_rounding():
    resolutions = create_pyramid_hierarchy(8, 100, 1.37, 10**4)  # floored: not quite geometric
    for level, resolution in enumerate(resolutions):
        assert level_of_width(1 / resolution, resolutions) == pytest.approx(level, abs=0.02)


def test_a_pyramid_of_one_level_has_level_0_alone():
    levels = get_pyramid_level(torch.tensor([[1e-9, 1.0]]), [128])
    assert torch.equal(levels, torch.zeros(1, 2))


def test_float32_levels_match_float64_ones():
    areas = torch.logspace(-8, 0, 400, dtype=torch.float64)
    for resolutions in (LEVELS, UNEVEN):
        levels = get_pyramid_level(areas.float(), resolutions)
        assert levels.dtype == torch.float32
        expected = get_pyramid_level(areas, resolutions)
        torch.testing.assert_close(levels.double(), expected, rtol=0, atol=1e-5)


# ---- blending ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "level", "expected"),
    [
        ("linear", 0.0, 10.0),
        ("linear", 0.25, 12.5),
        ("linear", 1.0, 20.0),
        ("linear", 1.75, 35.0),
        ("linear", 2.0, 40.0),
        ("linear", 7.0, 40.0),
        ("linear", -1.0, 10.0),
        ("none", 0.4, 10.0),
        ("none", 0.6, 20.0),
        ("none", 1.6, 40.0),
        ("none", 9.0, 40.0),
        ("none", -3.0, 10.0),
    ],
)
def test_blending_at_one_level(mode, level, expected):
    outputs = torch.tensor([10.0, 20.0, 40.0]).view(3, 1, 1)
    blended = interpolate_pyramid_outputs(outputs, torch.tensor([level]), mode)
    assert blended.item() == pytest.approx(expected)


@pytest.mark.parametrize("mode", ["linear", "none"])
def test_every_sample_blends_its_own_rows(mode):
    outputs = torch.randn(4, 50, 3)
    levels = torch.rand(50) * 3
    blended = interpolate_pyramid_outputs(outputs, levels, mode)
    assert torch.equal(interpolate_pyramid_outputs(list(outputs), levels, mode), blended)
    for i, level in enumerate(levels.tolist()):
        floor = min(int(level), 2)
        f = level - floor if mode == "linear" else round(level - floor)
        expected = (1 - f) * outputs[floor, i] + f * outputs[floor + 1, i]
        torch.testing.assert_close(blended[i], expected)


@pytest.mark.parametrize("mode", ["linear", "none"])
def test_gradient_of_blending(mode):
    outputs = torch.randn(4, 6, 2, dtype=torch.float64, requires_grad=True)
    levels = torch.tensor([0.0, 0.3, 1.0, 1.7, 2.6, 3.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: interpolate_pyramid_outputs(x, levels, mode), (outputs,)
    )


def test_gradient_of_blending_to_the_levels():
    outputs = torch.randn(4, 3, 2, dtype=torch.float64)
    levels = torch.tensor([0.3, 1.7, 2.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: interpolate_pyramid_outputs(outputs, x), (levels,))


def test_blending_refuses_an_unknown_mode():
    with pytest.raises(ValueError, match="cubic"):
        interpolate_pyramid_outputs(torch.zeros(2, 1, 1), torch.zeros(1), "cubic")


def test_split_level_gives_a_head_and_the_share_of_the_next_one():
    levels = torch.tensor([-1.0, 0.0, 0.25, 2.0, 2.75, 3.0, 8.0])
    floor, fraction = split_level(levels, 4)
    assert floor.tolist() == [0, 0, 0, 2, 2, 3, 3]
    assert fraction.tolist() == [0, 0, 0.25, 0, 0.75, 0, 0]
    floor, fraction = split_level(levels, 4, "none")
    assert floor.tolist() == [0, 0, 0, 2, 3, 3, 3]
    assert fraction.tolist() == [0] * 7
