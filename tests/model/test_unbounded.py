"""Unbounded scenes: the maps of space, the cascades, and what is rendered through them."""

import math

import numpy as np
import pytest
import torch
from analytic import COLOR, RESOLUTIONS, AnalyticField
from scene_makers import make_cameras
from tiny import tiny_config, tiny_model
from torch.nn.functional import normalize

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.data.scene import Scene
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.geometry.rays import Rays, view_rays
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.occupancy import OccupancyGrid, TrainedLevels
from taichi_pynerf.model.renderer import PyramidRenderer
from taichi_pynerf.model.samples import scale_gradient
from taichi_pynerf.ops.ray_march import Samples
from taichi_pynerf.training.carving import possible_cells, seen_cells
from taichi_pynerf.training.losses import distortion
from taichi_pynerf.training.scene_fit import fit_cascades, fit_to_scene
from taichi_pynerf.training.trainer import PyNeRFTrainer

BOX = SceneBox(
    (-1.0, 0.0, 2.0, 3.0, 2.0, 3.0), unbounded=True, num_cascades=3
)  # around (1, 1, 2.5)
SAMPLERS = ["occupancy", "hierarchical", "proposal"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def room_scene(num_views=5, size=16, focal=0.8, **changes):
    """Views from around the origin of a far wall, a sphere of radius 10 coloured by direction."""
    cameras = make_cameras(num_views, width=size, height=size, focal=focal * size)
    images = []
    for view in range(num_views):
        rays = view_rays(cameras, view)
        rays_o, rays_d = rays.rays_o, rays.rays_d
        b = (rays_o * rays_d).sum(-1, keepdim=True)
        t = -b + (b * b - rays_o.square().sum(-1, keepdim=True) + 100.0).sqrt()
        colors = 0.5 + 0.05 * (rays_o + t * rays_d)
        images.append(colors.mul(255).round().view(size, size, 3).numpy().astype(np.uint8))
    settings = {"near": 0.1, "far": 16.0, "aabb": (-1.0,) * 3 + (1.0,) * 3, "unbounded": True}
    return Scene.from_images(images, cameras, **{**settings, **changes})


def analytic_renderer(density, resolutions=RESOLUTIONS, **overrides):
    config = tiny_config(unbounded=True, num_cascades=5, march_resolution=256, **overrides)
    grid = OccupancyGrid(config.occupancy_resolution, config.num_cascades)
    field = AnalyticField(density, resolutions, unbounded=True)
    return PyramidRenderer(
        config, field, grid, TrainedLevels(), proposals=lambda x: field.density(x, None)
    )


def from_the_middle(num_rays=40, seed=0):
    directions = normalize(torch.randn(num_rays, 3, generator=seeded(seed)), dim=-1)
    return Rays(
        0.1 * torch.randn(num_rays, 3, generator=seeded(seed + 1)),
        directions,
        torch.full((num_rays,), 1e-5),
        torch.tensor([[0.05, 12.0]]).repeat(num_rays, 1),
    )


# ---- maps of space ----------------------------------------------------------------------------


def test_the_box_is_the_inner_half_of_the_field():
    corners = torch.tensor([[-1.0, -1.0, 0.5], [3.0, 3.0, 4.5]])  # of the cube around the box
    unit = BOX.to_unit(corners)
    expected = torch.tensor([[0.25] * 3, [0.75] * 3])
    torch.testing.assert_close(BOX.unit_to_field(unit), expected)
    assert BOX.field_size == 2 * BOX.size
    assert SceneBox(BOX.aabb).unit_to_field(unit) is unit
    assert SceneBox(BOX.aabb).field_size == BOX.size


def test_far_away_is_near_the_border_of_the_field():
    points = torch.tensor([[1e4, 1.0, 2.5], [1.0, 1.0, -1e4]])
    field = BOX.unit_to_field(BOX.to_unit(points))
    torch.testing.assert_close(
        field, torch.tensor([[1.0, 0.5, 0.5], [0.5, 0.5, 0.0]]), rtol=0, atol=1e-3
    )
    assert field.min() > 0
    assert field.max() < 1


@pytest.mark.parametrize("unbounded", [False, True])
def test_places_in_the_field_are_found_in_the_world(unbounded):
    box = SceneBox((-1.0, 0.0, 2.0, 3.0, 2.0, 3.0), unbounded, num_cascades=4)
    inside = 0.01 + 0.98 * torch.rand(200, 3, generator=seeded())
    world = box.field_to_world(inside)
    torch.testing.assert_close(box.unit_to_field(box.to_unit(world)), inside, rtol=0, atol=1e-5)


def test_rays_end_where_the_outermost_cascade_ends():
    rays_o = torch.tensor([[1.0, 1.0, 2.5]])
    rays_d = torch.tensor([[0.0, 0.0, -1.0]])
    ends = BOX.clip(rays_o, rays_d, torch.tensor([[0.5, 1e3]]))
    torch.testing.assert_close(ends, torch.tensor([[0.5, 8.0]]))  # 4 times 4 across


def test_spacing_is_ascending_smooth_and_has_its_inverse():
    t = torch.logspace(-2, 4, 400, dtype=torch.float64)
    s = BOX.to_spacing(t)
    assert (s.diff() > 0).all()
    assert s[-1] < 1
    torch.testing.assert_close(BOX.from_spacing(s), t, rtol=1e-9, atol=0)
    around = torch.tensor([BOX.size - 1e-4, BOX.size, BOX.size + 1e-4], dtype=torch.float64)
    low, high = BOX.to_spacing(around).diff() / 1e-4
    assert float(low) == pytest.approx(float(high), rel=1e-3)
    assert float(low) == pytest.approx(1 / (2 * BOX.size), rel=1e-3)
    bounded = SceneBox(BOX.aabb)
    assert bounded.to_spacing(t) is t
    assert bounded.from_spacing(t) is t


def test_distortion_of_a_far_pair_counts_in_disparity():
    def pair(near, far):
        starts = torch.tensor([near, far])
        samples = Samples(
            starts, starts + 1e-3, torch.zeros(2, dtype=torch.int32), torch.tensor([[0, 2]])
        )
        return float(distortion(torch.tensor([0.5, 0.5]), samples, BOX.to_spacing))

    # w w' |s - s'|, twice; s = 1 - R / 2t with R = 4.
    assert pair(8.0, 16.0) == pytest.approx(0.5 * (2 / 8 - 2 / 16), rel=1e-3)
    assert pair(800.0, 1600.0) == pytest.approx(0.5 * (2 / 800 - 2 / 1600), rel=1e-2)


# ---- cascades ---------------------------------------------------------------------------------


def test_cells_are_measured_where_their_cascade_has_them():
    grid = OccupancyGrid(8, num_cascades=3)

    def reach(positions):  # 1 on the border of cascade 0, 4 on that of cascade 2
        return 2 * (positions - 0.5).abs().amax(-1)

    grid.update(reach, [0.0, 1e9, 2.0], seeded())
    density = grid.density.view(3, 8, 8, 8)
    for k in range(3):
        measured = density[k][density[k] > 0]
        assert 0.15 < measured.numel() / 512 < 0.3
        assert 2**k * 0.7 < measured.max() <= 2**k
    assert (density[2, 2:6, 2:6, 2:6] <= 2).all()
    assert grid.occupied[0].any()
    # No cascade's threshold is above its mean.
    assert torch.equal(grid.occupied[1].bool(), density[1] > density[1].mean())


def test_a_cell_number_names_a_cell_of_its_cascade():
    grid = OccupancyGrid(8, num_cascades=2)
    cells = torch.tensor([0, 1, 511, 512, 512 + 8])
    assert grid.cell_coordinates(cells).tolist() == [
        [0, 0, 0], [0, 0, 1], [7, 7, 7], [0, 0, 0], [0, 1, 0],
    ]  # fmt: skip


def test_far_cells_count_from_a_lower_density_on():
    scene = analytic_renderer(lambda x: torch.ones(len(x)), cone_angle=0.1)
    thresholds = scene.density_thresholds
    assert thresholds[0] == pytest.approx(-math.log1p(-0.01) / max(scene.step_size, 0.1))
    for k in range(1, 5):
        assert thresholds[k] == pytest.approx(thresholds[k - 1] / 2)


def test_cells_in_no_picture_are_ruled_out_and_no_other():
    dataset = PyNeRFDataset.from_scene(room_scene(num_views=2, focal=2.5))
    box = SceneBox(dataset.aabb, unbounded=True, num_cascades=3)
    g = 16
    possible = possible_cells(dataset, box, g).view(3, g, g, g)
    assert 0.05 < possible.float().mean() < 0.7
    assert not possible[1:, 4:12, 4:12, 4:12].any()
    # Every point that a ray passes, within near and far, is in a possible cell.
    for view in range(2):
        rays = dataset.rays(view)
        rays_o, rays_d = rays.rays_o, rays.rays_d
        t = torch.linspace(dataset.near, dataset.far, 64)
        points = box.to_unit(rays_o[:, None] + t[:, None] * rays_d[:, None]).view(-1, 3)
        cascade = (2 * (points - 0.5).abs().amax(-1)).log2().ceil().clamp_min(0).long()
        points, cascade = points[cascade < 3], cascade[cascade < 3]
        cell = (((points - 0.5) / 2 ** cascade[:, None] + 0.5) * g).long().clamp(0, g - 1)
        assert possible[(cascade, *cell.unbind(-1))].all()


def test_what_is_behind_all_cameras_or_beyond_far_is_not_seen():
    scene = room_scene(num_views=1, far=5.0)
    dataset = PyNeRFDataset.from_scene(scene)
    cube, g = SceneBox((-16.0,) * 3 + (16.0,) * 3), 32
    seen = seen_cells(dataset, cube, g)
    axis = (torch.arange(g) + 0.5 - g / 2) * 32 / g
    offset = torch.cartesian_prod(axis, axis, axis) - dataset.cameras.c2w[0, :, 3]
    behind = offset @ dataset.cameras.c2w[0, :, 2] > 1
    assert seen.any()
    assert not seen[behind].any()
    assert not seen[offset.norm(dim=-1) > 6].any()


# ---- rendering --------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("distance", [0.6, 3.0, 8.0])
def test_a_wall_is_found_at_any_distance(sampler, distance):
    scene = analytic_renderer(
        lambda x: 30.0 * (x.norm(dim=-1) > distance), sampler=sampler,
        num_samples=256, num_importance=64, max_samples_per_ray=4096, fine_samples=48,
    )  # fmt: skip
    rays = from_the_middle()
    out = scene.render_rays(rays)
    b = (rays.rays_o * rays.rays_d).sum(-1)
    expected = (b * b - rays.rays_o.square().sum(-1) + distance**2).sqrt() - b
    torch.testing.assert_close(out.acc, torch.ones(40), rtol=0, atol=2e-3)
    torch.testing.assert_close(out.depth, expected, rtol=0.03, atol=0.06)
    torch.testing.assert_close(out.rgb, torch.tensor(COLOR).repeat(40, 1), rtol=0, atol=2e-3)


def test_a_thin_fog_absorbs_as_the_law_of_beer_and_lambert_says():
    scene = analytic_renderer(lambda x: torch.full((len(x),), 0.2), max_samples_per_ray=4096)
    out = scene.render_rays(from_the_middle())
    torch.testing.assert_close(
        out.acc, torch.full((40,), 1 - math.exp(-0.2 * 11.95)), rtol=0, atol=5e-3
    )


def test_steps_grow_with_the_distance():
    scene = analytic_renderer(lambda x: torch.ones(len(x)), cone_angle=0.05)
    scene.config = scene.config.replace(early_stop_eps=0.0)
    render = scene.train_rays(from_the_middle(), seeded())
    t, dt = render.samples.t_starts, render.samples.t_ends - render.samples.t_starts
    expected = (0.05 * t).clamp(scene.step_size, 16 * scene.step_size)
    torch.testing.assert_close(dt, expected, rtol=1e-3, atol=1e-5)


def test_levels_come_to_rest_far_out():
    scene = analytic_renderer(lambda x: torch.zeros(len(x)), (4, 8, 16, 32, 64, 128, 256))
    rays = Rays(
        torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([1e-2]),
        torch.tensor([[0.05, 16.0]]),
    )  # fmt: skip
    render = scene.train_rays(rays, seeded())
    levels, t = render.levels, render.samples.t_starts
    assert (levels.diff() <= 1e-5).all()
    near, border = (t < 0.3).nonzero()[-1], (t < 1).nonzero()[-1]
    fall = (t[border] / t[near]).log2()  # one level for each doubling of the footprint
    torch.testing.assert_close(levels[near] - levels[border], fall, rtol=0, atol=0.05)
    assert levels[(t > 7) & (t < 8)].min() - levels[t > 14].max() < 0.1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_far_wall_is_learned(sampler):
    dataset = PyNeRFDataset.from_scene(room_scene())
    config = tiny_config(sampler=sampler, max_steps=60, background="random", unbounded=True)
    config = fit_to_scene(config, dataset)
    assert config.unbounded
    assert config.num_cascades == 6
    model = tiny_model(**{k: v for k, v in config.to_dict().items() if k != "aabb"})
    before = float(PyNeRFTrainer(model, config, dataset, progress=False).train_step()["loss"])
    trainer = PyNeRFTrainer(model, config, dataset, progress=False)
    assert trainer.train()["loss"] < 0.1 * before


# ---- settings ---------------------------------------------------------------------------------


def test_as_many_cascades_as_the_farthest_thing_needs():
    box = SceneBox((-1.0,) * 3 + (1.0,) * 3, unbounded=True)
    for far, expected in [(0.5, 4), (3.5, 4), (4.5, 5), (11.0, 5), (1e6, 6)]:
        dataset = PyNeRFDataset.from_scene(room_scene(far=far))  # cameras are up to 4 away
        assert fit_cascades(dataset, box) == expected


def test_a_bounded_scene_is_fitted_as_one():
    dataset = PyNeRFDataset.from_scene(room_scene(unbounded=False))
    config = fit_to_scene(tiny_config(unbounded=True), dataset)
    assert not config.unbounded
    assert tiny_model(unbounded=False).occupancy.num_cascades == 1


def test_cells_of_cascades_must_nest():
    with pytest.raises(ConfigError, match="occupancy_resolution"):
        tiny_config(unbounded=True, occupancy_resolution=18)


def test_gradients_near_cameras_are_scaled_and_values_are_not():
    dataset = PyNeRFDataset.from_scene(room_scene())
    rays = dataset.sample(50, seeded()).rays
    pixels, gradients = [], []
    for distance in (0.0, 1e-3, 4.0):  # 1e-3 box sizes are before the first sample
        model = tiny_model(unbounded=True, num_cascades=5, gradient_distance=distance)
        render = model.renderer.train_rays(rays, seeded())
        render.rgb.square().sum().backward()
        pixels.append(render.rgb.detach())
        gradients.append(model.field.encoders[0].table.grad)
    torch.testing.assert_close(pixels[2], pixels[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-8)
    assert gradients[2].norm() < 0.8 * gradients[0].norm()
    assert gradients[2].norm() > 0


def test_scaled_gradients_by_hand():
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = scale_gradient(x, torch.tensor([0.25, 1.0]))
    assert y.tolist() == [2.0, 3.0]
    (gradient,) = torch.autograd.grad((y * y).sum(), x)
    assert gradient.tolist() == [1.0, 6.0]  # 2 y, times the share
