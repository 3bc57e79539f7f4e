import math

import pytest
import torch

from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.pyramid import get_pyramid_level, level_knots
from taichi_pynerf.ops.placement import box_rays, place_samples
from taichi_pynerf.ops.ray_march import Samples
from taichi_pynerf.reference import placement as reference

AABB = (-1.5, -1.0, -0.5, 0.5, 1.5, 1.0)
RESOLUTIONS = {
    "geometric": (16, 32, 64, 128, 256, 512, 1024, 2048),
    "uneven": (16, 20, 100, 128),
    "one": (64,),
}


def random_inputs(generator, num_rays=30, num_samples=600, dtype=torch.float32):
    """Rays around the box and samples on them, some at its faces and most far outside of it."""
    rays_o = 2 * torch.randn(num_rays, 3, generator=generator, dtype=dtype)
    rays_d = torch.randn(num_rays, 3, generator=generator, dtype=dtype)
    rays_d = torch.nn.functional.normalize(rays_d, dim=-1)
    areas = 10 ** (3 * torch.rand(num_rays, generator=generator, dtype=dtype) - 6)
    indices = torch.randint(num_rays, (num_samples,), generator=generator, dtype=torch.int32)
    t = 10 ** (3 * torch.rand(num_samples, generator=generator, dtype=dtype) - 1)
    samples = Samples(0.9 * t, 1.1 * t, indices, torch.zeros(num_rays, 2, dtype=torch.int32))
    return rays_o, rays_d, areas, samples


def placed(box, resolutions, rays_o, rays_d, areas, samples):
    knots = torch.tensor(level_knots(resolutions), dtype=rays_o.dtype)
    given = box.center, box.size, box.unbounded, box.field_size, knots
    middles = (samples.t_starts + samples.t_ends) / 2
    ours = place_samples(rays_o, rays_d, areas, samples, *given)
    theirs = reference.place_samples(rays_o, rays_d, areas, samples.ray_indices, middles, *given)
    return ours, theirs


@pytest.mark.parametrize("resolutions", RESOLUTIONS.values(), ids=RESOLUTIONS)
@pytest.mark.parametrize("unbounded", [False, True])
@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.float64)]
)
def test_matches_twin(generator, assert_matches, dtype, unbounded, resolutions):
    box = SceneBox(AABB, unbounded, num_cascades=5)
    inputs = random_inputs(generator, dtype=dtype)
    (positions, levels), expected = placed(box, resolutions, *inputs)
    assert_matches(positions, expected[0])
    torch.testing.assert_close(
        levels, expected[1], rtol=0, atol=1e-3 if dtype.itemsize < 8 else 1e-8
    )
    if len(resolutions) > 1:
        assert 0 < levels.mean() < len(resolutions) - 1


@pytest.mark.parametrize("unbounded", [False, True])
def test_the_box_and_the_pyramid_agree(generator, assert_matches, unbounded):
    box, resolutions = SceneBox(AABB, unbounded, num_cascades=5), RESOLUTIONS["geometric"]
    rays_o, rays_d, areas, samples = random_inputs(generator)
    (positions, levels), _ = placed(box, resolutions, rays_o, rays_d, areas, samples)
    t, index = (samples.t_starts + samples.t_ends) / 2, samples.ray_indices.long()
    unit = box.to_unit(rays_o[index] + t[:, None] * rays_d[index])
    inside = ((unit >= 0) & (unit <= 1)).all(-1)
    assert 0 < inside.float().mean() < 1
    assert_matches(positions, box.unit_to_field(unit) if unbounded else unit.clamp(0, 1))
    unchanged = get_pyramid_level(areas[index] * t.square(), resolutions, box.field_size)
    counted = inside if unbounded else slice(None)  # contraction leaves the box as it is
    torch.testing.assert_close(levels[counted], unchanged[counted], rtol=0, atol=1e-3)


def corners_of(box, rays_o, rays_d, areas, t, size=1e-3):
    """Field positions of small squares across rays: their middles, and two edges."""
    e1 = torch.linalg.cross(rays_d, rays_d.roll(1, -1))
    e1 = torch.nn.functional.normalize(e1, dim=-1)
    e2 = torch.linalg.cross(rays_d, e1)
    middles = box.to_unit(rays_o + t[:, None] * rays_d)
    sides = [box.direction_to_unit(size * areas.sqrt()[:, None] * t[:, None] * e) for e in (e1, e2)]
    return [(box.unit_to_field(middles + e) - box.unit_to_field(middles - e)) / 2 for e in sides]


@pytest.mark.float64
def test_levels_are_those_of_squares_across_rays_after_contraction(generator):
    """The contraction carries a pixel's footprint along; its area is that of two edges."""
    box, resolutions = SceneBox((-1, -1, -1, 1, 1, 1), True, num_cascades=5), (2, 2**16)
    rays_o, rays_d, areas, samples = random_inputs(generator, num_samples=30, dtype=torch.float64)
    index = torch.arange(30, dtype=torch.int32)
    samples = samples._replace(ray_indices=index)
    (_, levels), _ = placed(box, resolutions, rays_o, rays_d, areas, samples)
    t = (samples.t_starts + samples.t_ends) / 2
    edges = corners_of(box, rays_o, rays_d, areas, t)
    area = torch.linalg.cross(*edges).norm(dim=-1) / 1e-6
    expected = get_pyramid_level(area * box.field_size**2, resolutions, box.field_size)
    assert (box.to_unit(rays_o + t[:, None] * rays_d) - 0.5).abs().amax(-1).gt(
        0.5
    ).float().mean() > 0.5
    torch.testing.assert_close(levels, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_level_of_a_ray_from_the_centre_falls_ever_slower_and_comes_to_rest(axis):
    box, resolutions = SceneBox((-1, -1, -1, 1, 1, 1), True), RESOLUTIONS["geometric"]
    t = torch.logspace(-1, 4, 200)
    rays_d = torch.zeros(1, 3)
    rays_d[0, axis] = 1
    index = torch.zeros(200, dtype=torch.int32)
    samples = Samples(t, t, index, torch.tensor([[0, 200]], dtype=torch.int32))
    (_, levels), _ = placed(
        box, resolutions, torch.zeros(1, 3), rays_d, torch.tensor([4e-6]), samples
    )
    assert (levels.diff() <= 1e-5).all()
    assert 1 < levels[-1] < levels[0] <= 7
    # The footprint tends to 2 * 2e-3 of the cube's half side.
    rest = get_pyramid_level(torch.tensor([4 * 4e-6]), resolutions, 4.0)
    torch.testing.assert_close(levels[-1:], rest, rtol=0, atol=1e-3)


def test_a_footprint_twice_as_wide_lies_a_level_lower():
    box, resolutions = SceneBox((-1, -1, -1, 1, 1, 1)), RESOLUTIONS["geometric"]
    width = 2.0 / 256  # a cell of level 4
    areas = torch.tensor([width**2, (2 * width) ** 2])
    rays_o, rays_d = torch.zeros(2, 3), torch.tensor([[0.0, 0.0, 1.0]] * 2)
    ones = torch.ones(2)
    samples = Samples(ones, ones, torch.arange(2, dtype=torch.int32), torch.zeros(2, 2).int())
    (_, levels), _ = placed(box, resolutions, rays_o, rays_d, areas, samples)
    assert levels.tolist() == pytest.approx([4.0, 3.0], abs=1e-4)


def test_no_samples_and_strided_ones(generator):
    box = SceneBox(AABB, True, num_cascades=5)
    rays_o, rays_d, areas, samples = random_inputs(generator)
    none = Samples(*(x[:0] for x in samples))
    (positions, levels), _ = placed(box, (16, 32), rays_o, rays_d, areas, none)
    assert (positions.shape, levels.shape) == ((0, 3), (0,))
    strided = [x.T.contiguous().T for x in (rays_o, rays_d)]
    for a, b in zip(
        placed(box, (16, 32), *strided, areas, samples)[0],
        placed(box, (16, 32), rays_o, rays_d, areas, samples)[0],
        strict=True,
    ):
        assert torch.equal(a, b)


def test_shapes_and_types_are_checked(generator):
    rays_o, rays_d, areas, samples = random_inputs(generator)
    common = (0.0, 0.0, 0.0), 1.0, False, 1.0, torch.tensor([math.log2(16)])
    with pytest.raises(ValueError, match=r"pixel_areas must have shape \[30\]"):
        place_samples(rays_o, rays_d, areas[:3], samples, *common)
    with pytest.raises(ValueError, match=r"rays_d must be torch\.float32"):
        place_samples(rays_o, rays_d.double(), areas, samples, *common)


@pytest.mark.parametrize("unbounded", [False, True])
def test_rays_in_the_box_match_the_twin(generator, assert_matches, unbounded):
    box = SceneBox(AABB, unbounded, num_cascades=3)
    rays_o, rays_d, _, _ = random_inputs(generator, num_rays=400)
    rays_d[::5, 0] = 0  # along the faces of the box
    bounds = torch.tensor([[0.1, 3.0]]).expand(400, 2).contiguous()
    corners, center = torch.tensor(box.reach).view(2, 3), torch.tensor([box.center])
    origins, dirs, ends = box_rays(rays_o, rays_d, bounds, corners, center, box.size)
    assert_matches(origins, box.to_unit(rays_o))
    assert_matches(dirs, box.direction_to_unit(rays_d))
    assert_matches(ends, box.clip(rays_o, rays_d, bounds))
    missed = ends[:, 0] == ends[:, 1]
    assert 0 < missed.float().mean() < 1


def test_rays_of_the_wrong_shape_are_refused():
    rays, bounds = torch.zeros(4, 3), torch.zeros(4, 2)
    corners, center = torch.zeros(2, 3), torch.zeros(1, 3)
    assert [len(x) for x in box_rays(rays[:0], rays[:0], bounds[:0], corners, center, 1.0)] == [
        0
    ] * 3
    with pytest.raises(ValueError, match=r"bounds must have shape \[4, 2\]"):
        box_rays(rays, rays, bounds[:3], corners, center, 1.0)
