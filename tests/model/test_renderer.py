import dataclasses
import math

import pytest
import torch
from analytic import COLOR, RESOLUTIONS, AnalyticField
from tiny import random_samples, rays_through_box, roughen, tiny_config, tiny_model
from torch.nn import functional

from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model import images, ray_rounds, renderer
from taichi_pynerf.model.occupancy import OccupancyGrid, TrainedLevels
from taichi_pynerf.model.pyramid import compute_sample_area, get_pyramid_level
from taichi_pynerf.model.renderer import PyramidRenderer

SAMPLERS = ["occupancy", "hierarchical"]


def analytic_renderer(density, **overrides):
    config = tiny_config(**overrides)
    return PyramidRenderer(
        config, AnalyticField(density), OccupancyGrid(config.occupancy_resolution), TrainedLevels()
    )


def uniform(density):
    return lambda x: torch.full((len(x),), density)


def slab(low, high, density=1e3):
    """Dense where low < x < high."""
    return lambda x: density * ((x[:, 0] > low) & (x[:, 0] < high)).float()


def rough_model(**overrides):
    """A model of uneven density, neither empty nor opaque, all its cells occupied."""
    model = tiny_model(**overrides).eval()
    roughen(model.field)
    return model


def along_x(num_rays=7, **changes):
    """Parallel rays from x = -3 into the box, at several heights."""
    y = torch.linspace(-0.9, 0.9, num_rays)
    fields = {
        "rays_o": torch.stack([torch.full_like(y, -3.0), y, 0.3 * y], -1),
        "rays_d": torch.tensor([[1.0, 0.0, 0.0]]).repeat(num_rays, 1),
        "pixel_areas": torch.full((num_rays,), 1e-4),
        "bounds": torch.tensor([[0.05, 8.0]]).repeat(num_rays, 1),
    }
    return Rays(**{**fields, **changes})


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def assert_same_pixels(actual, expected, tolerance):
    for name in ("rgb", "acc", "depth"):
        torch.testing.assert_close(
            getattr(actual, name), getattr(expected, name), rtol=0, atol=tolerance
        )


# ---- known scenes -----------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_opaque_slab_has_its_depth_and_its_colour(sampler):
    scene = analytic_renderer(
        slab(0.2, 0.6), sampler=sampler, march_resolution=256, num_samples=64, num_importance=64
    )
    out = scene.render_rays(along_x())
    torch.testing.assert_close(out.acc, torch.ones(7), rtol=0, atol=1e-3)
    torch.testing.assert_close(out.depth, torch.full((7,), 3.2), rtol=0, atol=0.03)
    torch.testing.assert_close(out.rgb, torch.tensor(COLOR).repeat(7, 1), rtol=0, atol=1e-3)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("train", [False, True])
def test_opacity_follows_the_law_of_beer_and_lambert(sampler, train):
    scene = analytic_renderer(uniform(0.7), sampler=sampler, march_resolution=512)
    out = scene.train_rays(along_x(), seeded()) if train else scene.render_rays(along_x())
    expected = 1 - math.exp(-0.7 * 2)  # the box is 2 units long
    torch.testing.assert_close(out.acc, torch.full((7,), expected), rtol=0, atol=2e-3)
    # The mean distance into the box of light that is absorbed with density 0.7.
    mean = 3 - 1 + 1 / 0.7 - 2 * math.exp(-1.4) / expected
    torch.testing.assert_close(out.depth, torch.full((7,), mean), rtol=0, atol=0.01)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_bounds_cut_off_what_is_nearer_and_farther(sampler):
    scene = analytic_renderer(uniform(1.0), sampler=sampler, march_resolution=512)
    bounds = torch.tensor([[2.5, 3.0]]).repeat(7, 1)
    out = scene.render_rays(along_x(bounds=bounds))
    torch.testing.assert_close(out.acc, torch.full((7,), 1 - math.exp(-0.5)), rtol=0, atol=6e-3)
    assert ((out.depth > 2.5) & (out.depth < 3.0)).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("train", [False, True])
def test_rays_that_miss_the_box_see_nothing(sampler, train):
    scene = analytic_renderer(uniform(100.0), sampler=sampler)
    rays = along_x(3)
    rays.rays_d[0] *= -1  # away from it
    rays.rays_o[1] += 5.0  # past it
    out = scene.train_rays(rays, seeded()) if train else scene.render_rays(rays)
    assert out.acc[:2].tolist() == [0, 0]
    assert not out.rgb[:2].any()
    assert not out.depth[:2].any()
    assert out.acc[2] > 0.99


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("train", [False, True])
def test_a_batch_of_which_no_ray_meets_the_box(sampler, train):
    model = tiny_model(sampler=sampler)
    rays = along_x(3, rays_o=torch.full((3, 3), 50.0))
    render = model.renderer
    out = render.train_rays(rays, seeded()) if train else render.render_rays(rays)
    assert torch.equal(out.acc, torch.zeros(3))
    assert torch.equal(out.rgb, torch.zeros(3, 3))
    assert render.render_rays(rays[:0]).rgb.shape == (0, 3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_nothing_is_seen_beside_a_box_that_is_no_cube(sampler):
    flat = (-1.0, -0.25, -1.0, 1.0, 0.25, 1.0)
    scene = analytic_renderer(uniform(1.0), sampler=sampler, march_resolution=512, aabb=flat)
    downwards = along_x(
        rays_o=torch.tensor([[0.5, 3.0, 0.0]]).repeat(7, 1),
        rays_d=torch.tensor([[0.0, -1.0, 0.0]]).repeat(7, 1),
    )
    out = scene.render_rays(downwards)
    torch.testing.assert_close(out.acc, torch.full((7,), 1 - math.exp(-0.5)), rtol=0, atol=6e-3)


def test_empty_cells_are_not_asked():
    scene = analytic_renderer(uniform(100.0))
    scene.occupancy.occupied[:, :8] = 0  # where x < 0
    out = scene.render_rays(along_x())
    assert torch.cat(scene.field.positions)[:, 0].min() > 0.5 - 1 / 16
    torch.testing.assert_close(out.depth, torch.full((7,), 3.0), rtol=0, atol=0.05)


def test_the_density_threshold_is_where_one_step_has_the_threshold_opacity():
    scene = analytic_renderer(uniform(1.0), occupancy_threshold=0.3, march_resolution=50)
    assert scene.step_size == pytest.approx(2 * 3**0.5 / 50)
    assert 1 - math.exp(-scene.density_thresholds[0] * scene.step_size) == pytest.approx(0.3)


def test_steps_can_be_scaled():
    model = tiny_model(unbounded=True, num_cascades=3)
    parts = (model.config, model.field, model.occupancy, model.trained_levels)
    plain, doubled = PyramidRenderer(*parts), PyramidRenderer(*parts, step_scale=2.0)
    assert doubled.step_size == pytest.approx(2 * plain.step_size)
    assert doubled.cone_angle == pytest.approx(2 * plain.cone_angle) != 0
    for scale in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="step_scale"):
            PyramidRenderer(*parts, step_scale=scale)


def test_updates_of_the_occupancy_ask_the_field_at_trained_levels():
    scene = analytic_renderer(uniform(100.0))
    everywhere = torch.cartesian_prod(*[(torch.arange(128) + 0.5) / 128] * 3)
    scene.trained_levels.record(everywhere, torch.full((128**3,), 1.0))
    scene.trained_levels.record(everywhere, torch.full((128**3,), 1.5))
    scene.update_occupancy(seeded())
    levels = torch.cat(scene.field.levels)
    assert (levels.min(), levels.max()) == pytest.approx((1.0, 1.5), abs=0.01)
    assert scene.occupancy.num_updates == 1


# ---- one picture, several ways to compute it --------------------------------------------------


@pytest.fixture
def centred_jitter(monkeypatch):
    """Training draws the jitter that rendering has: the middle."""
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape_of(shape), 0.5))


def shape_of(arguments):
    return arguments[0] if isinstance(arguments[0], tuple) else arguments


def trained_pixels(model, rays):
    """What training sees: all samples of a ray at once."""
    with torch.no_grad():
        return model.renderer.train_rays(rays, seeded())


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("early_stop_eps", [0.0, 1e-4])
def test_training_and_rendering_agree(sampler, early_stop_eps, centred_jitter):
    model = rough_model(sampler=sampler, early_stop_eps=early_stop_eps)
    rays = rays_through_box()
    out = model.renderer.render_rays(rays)  # first: no level is clamped to trained ones yet
    expected = trained_pixels(model, rays)
    assert 0.1 < expected.acc.mean() < 0.99
    assert_same_pixels(out, expected, 1e-5)


@pytest.mark.parametrize("at_once", [1, 7, 2000])
def test_rendering_in_rounds_is_rendering_at_once(at_once, monkeypatch, centred_jitter):
    model = rough_model(early_stop_eps=0.0, march_resolution=256)
    model.occupancy.occupied.random_(2, generator=seeded())
    rays = rays_through_box()
    expected = trained_pixels(model, rays)

    rounds = []

    def counting_march(rays_o, *args, **kwargs):
        rounds.append((len(rays_o), kwargs["max_samples"]))
        return march_rays(rays_o, *args, **kwargs)

    march_rays = renderer.march_rays
    monkeypatch.setattr(renderer, "march_rays", counting_march)
    monkeypatch.setattr(ray_rounds, "BUSY_SAMPLES", 700)
    out = model.renderer.render_rays(rays, at_once=at_once)
    assert len(rounds) >= 4
    for num_rays, max_samples in rounds:
        assert num_rays <= at_once
        assert max_samples == max(6, min(700, 6 * at_once) // num_rays)
    assert_same_pixels(out, expected, 1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize("early_stop_eps", [1e-5, 1e-3])
def test_the_size_of_chunks_changes_no_pixel(sampler, opaque, early_stop_eps, monkeypatch):
    model = rough_model(sampler=sampler, march_resolution=256, early_stop_eps=early_stop_eps)
    with torch.no_grad():
        for head in model.field.heads:
            head[-1].weight[0] *= 4.0 if opaque else 1.0  # the logarithms of densities
    rays = rays_through_box(60)

    def render(chunk_size, busy_samples):
        monkeypatch.setattr(ray_rounds, "BUSY_SAMPLES", busy_samples)
        return images.render_rays(model, rays, chunk_size=chunk_size)

    expected = render(2**15, 2**16)
    for sizes in ((7, 2**16), (2**15, 100), (33, 1500)):
        assert_same_pixels(render(*sizes), expected, 1e-5)


def test_an_early_stop_saves_samples_and_changes_nothing_that_can_be_seen(monkeypatch):
    monkeypatch.setattr(ray_rounds, "BUSY_SAMPLES", 1)  # rounds of 6 samples per ray
    rays = along_x(50)
    to_the_end, stopped = (
        analytic_renderer(uniform(8.0), march_resolution=256, early_stop_eps=eps)
        for eps in (0.0, tiny_config().early_stop_eps)
    )
    expected, out = to_the_end.render_rays(rays), stopped.render_rays(rays)
    assert 0 < (out.rgb - expected.rgb).abs().max() < 0.5 / 255
    assert (out.acc - expected.acc).abs().max() < 0.5 / 255
    num_samples, num_stopped = (
        sum(map(len, scene.field.levels)) for scene in (to_the_end, stopped)
    )  # fmt: skip
    assert num_stopped < 0.8 * num_samples


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_culling_drops_the_hidden_tail_of_each_ray_and_nothing_that_can_be_seen(sampler):
    rays = rays_through_box()

    def trained(cull_hidden):
        scene = analytic_renderer(
            lambda x: 6 * x.norm(dim=-1), sampler=sampler, cull_hidden=cull_hidden
        )
        return scene.train_rays(rays, seeded())

    whole, culled = trained(0.0), trained(1e-2)
    assert len(culled.weights) == len(culled.levels) < 0.9 * len(whole.weights)
    for name in ("rgb", "acc"):
        change = (getattr(whole, name) - getattr(culled, name)).abs()
        assert change.max() < 1e-2
    for ray in range(len(rays)):
        (first, count), (first_kept, num_kept) = (
            out.samples.packed_info[ray].tolist() for out in (whole, culled)
        )
        # The share of light that reaches each sample of the ray.
        reached = 1 - torch.cat([torch.zeros(1), whole.weights[first : first + count].cumsum(0)])
        kept = slice(first_kept, first_kept + num_kept)
        assert num_kept == (reached[:count] >= 1e-2).sum()
        t_starts = whole.samples.t_starts[first : first + num_kept]
        assert torch.equal(culled.samples.t_starts[kept], t_starts)
        assert (culled.samples.ray_indices[kept] == ray).all()


def test_thinning_trains_fewer_samples_and_changes_neither_colours_nor_gradients_on_average():
    rays = rays_through_box()
    strength = torch.tensor(1.0, requires_grad=True)

    def density(x):  # a ball in thin air, of which most samples have little weight
        return strength * (0.02 + 8 * torch.sigmoid(20 * (0.5 - x.norm(dim=-1))))

    def trained(thin_below):
        scene = analytic_renderer(density, march_resolution=128, thin_below=thin_below)
        found = []
        for seed in range(120):
            out = scene.train_rays(rays, seeded(seed))
            mean = out.rgb.mean()
            (gradient,) = torch.autograd.grad(mean, strength)
            found.append(torch.stack([mean.detach(), gradient, torch.tensor(len(out.levels))]))
        return torch.stack(found)

    whole, some = trained(0.0), trained(0.004)
    assert some[:, 2].mean() < 0.75 * whole[:, 2].mean()
    for number, bias in ((0, 0.5), (1, 5)):
        a, b = whole[:, number], some[:, number]
        error = (a.var() / len(a) + b.var() / len(b)).sqrt()
        # Of two neighbours rarely both stay: the product of their weights is missing.
        assert (a.mean() - b.mean()).abs() < 4 * error + bias * 0.004 * a.mean().abs()
        assert error < 2e-3 * a.mean().abs()  # else the line above would say nothing


def test_training_repeats_with_the_seed_and_varies_without():
    model, rays = rough_model(), rays_through_box()
    first, second, other = (
        model.renderer.train_rays(rays, seeded(seed)).rgb for seed in (0, 0, 1)
    )  # fmt: skip
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


# ---- levels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cells_per_footprint", [1, 1.5])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sample_has_the_level_of_its_footprint(sampler, cells_per_footprint):
    scene = analytic_renderer(
        uniform(0.3), sampler=sampler, cells_per_footprint=cells_per_footprint
    )
    rays = rays_through_box()
    out = scene.train_rays(rays, seeded())
    samples = out.samples
    t = (samples.t_starts + samples.t_ends) / 2
    of_ray = samples.ray_indices.long()
    areas = compute_sample_area(
        rays.rays_o[of_ray], rays.rays_d[of_ray], t[:, None], rays.pixel_areas[of_ray]
    )
    areas = areas / cells_per_footprint**2  # of one of the cells
    expected = get_pyramid_level(areas, list(RESOLUTIONS), 2.0).squeeze(-1)
    assert expected.std() > 0.1
    torch.testing.assert_close(out.levels, expected)
    places = (rays.rays_o[of_ray] + t[:, None] * rays.rays_d[of_ray] + 1) / 2
    torch.testing.assert_close(out.positions, places.clamp(0, 1))
    assert torch.equal(scene.field.levels[-1], out.levels)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pixels_twice_as_wide_are_one_level_coarser(sampler):
    scene = analytic_renderer(slab(0.0, 1.0), sampler=sampler)
    fine, coarse = (
        scene.render_rays(along_x(pixel_areas=torch.full((7,), width**2))).level
        for width in (0.03, 0.06)
    )
    # 3 units off a pixel is 0.09 wide; a cell of level 2 is 2 / 16 wide, of level 3 2 / 32.
    expected = 3 - math.log2(0.09 / (2 / 32))
    torch.testing.assert_close(fine, torch.full((7,), expected), rtol=0, atol=0.05)
    torch.testing.assert_close(coarse, fine - 1, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_picture_depends_on_the_pixel_areas(sampler):
    model, rays = rough_model(sampler=sampler), rays_through_box()
    wide = Rays(rays.rays_o, rays.rays_d, 16 * rays.pixel_areas, rays.bounds)
    difference = model.renderer.render_rays(rays).rgb - model.renderer.render_rays(wide).rgb
    assert difference.abs().max() > 0.05


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_camera_nearer_than_all_training_views_gets_trained_levels(sampler):
    scene = analytic_renderer(uniform(1.0), sampler=sampler)
    near = along_x(pixel_areas=torch.full((7,), 1e-6))  # the finest level and beyond
    far = along_x(pixel_areas=torch.full((7,), 1.0))  # the coarsest
    assert scene.render_rays(near).level.min() == pytest.approx(3.0)
    assert scene.render_rays(far).level.max() == pytest.approx(0.0)

    everywhere = torch.cartesian_prod(*[(torch.arange(128) + 0.5) / 128] * 3)
    for level in (1.0, 1.5):
        scene.trained_levels.record(everywhere, torch.full((128**3,), level))
    scene.field.levels.clear()
    torch.testing.assert_close(scene.render_rays(near).level, torch.full((7,), 1.5))
    torch.testing.assert_close(scene.render_rays(far).level, torch.full((7,), 1.0))
    asked = torch.cat(scene.field.levels)
    assert (asked.min(), asked.max()) == (1.0, 1.5)  # no untrained head has any say


def test_training_records_the_levels_that_it_trains():
    scene = analytic_renderer(uniform(0.3))
    out = scene.train_rays(rays_through_box(), seeded())
    low = scene.trained_levels.clamp(out.positions, torch.full_like(out.levels, -1.0))
    high = scene.trained_levels.clamp(out.positions, torch.full_like(out.levels, 9.0))
    assert ((low <= out.levels) & (out.levels <= high)).all()
    assert (low[:50] == out.levels[:50]).any()
    nowhere = torch.tensor([[0.001, 0.001, 0.001]])
    assert scene.trained_levels.clamp(nowhere, torch.tensor([9.0])) == 9.0
    scene.render_rays(along_x(pixel_areas=torch.full((7,), 1.0)))
    assert torch.equal(
        scene.trained_levels.clamp(out.positions, torch.full_like(low, -1.0)), low
    )  # rendering trains nothing


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_fixed_level_is_used_for_all_samples(sampler):
    scene = analytic_renderer(uniform(1.0), sampler=sampler)
    out = scene.render_rays(along_x(), level=1.25)
    assert scene.field.levels[-1].unique().tolist() == [1.25]
    torch.testing.assert_close(out.level, torch.full((7,), 1.25))
    model = rough_model(sampler=sampler)
    fine, coarse = (model.renderer.render_rays(along_x(), level=level).rgb for level in (3, 0))
    assert (fine - coarse).abs().max() > 0.05


def test_pixels_so_wide_that_finer_steps_add_nothing_get_the_steps_of_training():
    wide = (1.01 * renderer.WIDE_PIXEL * math.sqrt(3) * 2 / 50 / 3) ** 2  # the middle is at 3
    areas = torch.tensor([wide, 1e-4]).repeat(4)[:7]

    def asked(rays):
        scene = analytic_renderer(uniform(0.2), march_resolution=50, render_step=0.5)
        out = scene.render_rays(rays)
        return out, sum(map(len, scene.field.positions))

    mixed, num_mixed = asked(along_x(pixel_areas=areas))
    coarse, num_coarse = asked(along_x(pixel_areas=torch.full((7,), wide)))
    fine, num_fine = asked(along_x())
    assert num_fine == pytest.approx(2 * num_coarse, abs=7)
    assert num_mixed == pytest.approx((4 * num_coarse + 3 * num_fine) / 7, abs=7)
    for name in ("rgb", "acc", "depth", "level"):
        for chosen, alone in ((areas == wide, coarse), (areas < wide, fine)):
            assert torch.equal(getattr(mixed, name)[chosen], getattr(alone, name)[chosen]), name


def test_a_single_level_field_has_level_0_alone():
    model = rough_model(single_level=True)
    out = model.renderer.train_rays(rays_through_box(), seeded())
    assert not out.levels.any()
    assert not model.renderer.render_rays(rays_through_box()).level.any()


# ---- the hierarchical sampler -----------------------------------------------------------------


@pytest.mark.parametrize("num_importance", [0, 24])
def test_the_hierarchical_sampler_takes_so_many_samples_in_order(num_importance):
    model = rough_model(sampler="hierarchical", num_samples=10, num_importance=num_importance)
    rays = rays_through_box(20)
    samples = model.renderer.train_rays(rays, seeded()).samples
    count = 10 + num_importance
    assert torch.equal(samples.packed_info[:, 1], torch.full((20,), count, dtype=torch.int32))
    assert torch.equal(samples.packed_info[:, 0], torch.arange(20, dtype=torch.int32) * count)
    assert torch.equal(samples.ray_indices, torch.arange(20).repeat_interleave(count).int())
    t_starts, t_ends = samples.t_starts.view(20, count), samples.t_ends.view(20, count)
    assert (t_starts <= t_ends).all()
    assert torch.equal(t_starts[:, 1:], t_ends[:, :-1])  # no gaps, no overlaps
    ends = SceneBox(model.config.aabb).clip(rays.rays_o, rays.rays_d, rays.bounds)
    torch.testing.assert_close(torch.stack([t_starts[:, 0], t_ends[:, -1]], -1), ends)


def test_distances_of_hierarchical_samples_are_constants_where_poses_learn():
    rays = rays_through_box(20)
    rays = dataclasses.replace(
        rays, rays_o=rays.rays_o.requires_grad_(), rays_d=rays.rays_d.requires_grad_()
    )
    model = rough_model(sampler="hierarchical", num_samples=10, cull_hidden=1e-3)
    render = model.renderer.train_rays(rays, seeded())
    assert not render.samples.t_starts.requires_grad
    assert not render.samples.t_ends.requires_grad
    render.rgb.sum().backward()
    assert rays.rays_o.grad.abs().sum() > 0


def test_importance_samples_go_where_something_is():
    scene = analytic_renderer(slab(0.0, 0.125), sampler="hierarchical", num_importance=64)
    samples = scene.train_rays(along_x(), seeded()).samples
    middles = (samples.t_starts + samples.t_ends) / 2
    assert ((middles > 2.95) & (middles < 3.2)).float().mean() > 0.7
    scene = analytic_renderer(slab(5.0, 6.0), sampler="hierarchical", num_importance=64)
    samples = scene.train_rays(along_x(), seeded()).samples  # nothing is anywhere: even
    middles = ((samples.t_starts + samples.t_ends) / 2).view(7, 80)
    torch.testing.assert_close(middles.mean(1), torch.full((7,), 3.0), rtol=0, atol=0.05)


# ---- the scene box ----------------------------------------------------------------------------

BOX = SceneBox((-1.0, 0.0, 2.0, 3.0, 2.0, 3.0))  # 4 by 2 by 1, around (1, 1, 2.5)


def test_the_box_maps_by_its_longest_side_centre_to_centre():
    assert (BOX.size, BOX.center) == (4.0, (1.0, 1.0, 2.5))
    points = torch.tensor([[1.0, 1.0, 2.5], [-1.0, 0.0, 2.0], [3.0, 2.0, 3.0]])
    expected = torch.tensor([[0.5, 0.5, 0.5], [0.0, 0.25, 0.375], [1.0, 0.75, 0.625]])
    torch.testing.assert_close(BOX.to_unit(points), expected)


def test_a_step_along_a_ray_is_as_long_in_unit_coordinates():
    origins, dirs, _ = random_samples(10)
    along = BOX.to_unit(origins + 0.7 * dirs)
    torch.testing.assert_close(BOX.to_unit(origins) + 0.7 * BOX.direction_to_unit(dirs), along)


def test_clipped_rays_are_the_parts_inside_of_box_and_bounds():
    generator = seeded()
    rays_o = torch.rand(300, 3, generator=generator) * 8 - 3
    targets = torch.rand(300, 3, generator=generator) * 4 - torch.tensor([1.0, 1.0, -0.5])
    rays_d = functional.normalize(targets - rays_o, dim=-1)
    rays_d[0], rays_o[0] = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, -2.0])
    bounds = torch.tensor([[0.5, 5.0]]).repeat(300, 1)
    near, far = BOX.clip(rays_o, rays_d, bounds).unbind(-1)
    t = torch.linspace(0, 8, 1601)
    places = rays_o[:, None] + t[:, None] * rays_d[:, None]
    low, high = torch.tensor(BOX.aabb).view(2, 3)
    inside = ((places > low) & (places < high)).all(-1) & (t > 0.5) & (t < 5.0)
    clipped = (t > near[:, None]) & (t < far[:, None])
    differ = (inside != clipped).sum(1)
    assert differ.max() <= 2  # on the very border
    assert 50 < (far > near).sum() < 250
    assert torch.equal(far > near, inside.any(1)) or ((far - near)[~inside.any(1)] < 0.01).all()
    assert (near[0], far[0]) == (4.0, 5.0)


@pytest.mark.parametrize("direction", [1.0, -1.0])
@pytest.mark.parametrize(("height", "meets"), [(2.5, True), (3.5, False)])
def test_rays_along_an_axis_are_clipped(direction, height, meets):
    rays_o = torch.tensor([[1.0 - 10 * direction, 1.0, height]])
    rays_d = torch.tensor([[direction, 0.0, -0.0]])
    near, far = BOX.clip(rays_o, rays_d, torch.tensor([[0.0, 100.0]])).squeeze(0).tolist()
    if meets:
        assert (near, far) == pytest.approx((8.0, 12.0))
    else:
        assert near == far
