"""What lies close to a camera counts where several views see it (training/carving.py)."""

import dataclasses

import pytest
import torch
from scene_makers import make_cameras, make_scene
from tiny import roughen, tiny_model
from torch.nn.functional import normalize

from taichi_pynerf.data.datasets import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.data.drawing.sightings import Sightings
from taichi_pynerf.data.scene import Scene
from taichi_pynerf.geometry.rays import view_rays
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.training.carving import (
    LEAST_POINTS,
    NEAR_MARGIN,
    close_to_cameras,
    possible_cells,
)

SIZE, NEAR, AABB = 16, 0.05, (-1.0,) * 3 + (1.0,) * 3
FOCAL, DEPTH = 0.8, 1.5
G = 24  # cells along an axis


def scene_of(cameras, depths, seed=0):
    """Views that see sparse points at pixels drawn at random; `depths` gives each view's."""
    generator = torch.Generator().manual_seed(seed)
    count = 4 * LEAST_POINTS
    views = torch.arange(len(cameras)).repeat_interleave(count)
    pixels = torch.randint(SIZE * SIZE, (len(views),), generator=generator)
    spread = 1 + torch.rand(len(views), generator=generator)
    sightings = Sightings(views, pixels, torch.tensor(depths).repeat_interleave(count) * spread)
    images = [
        torch.randint(256, (SIZE, SIZE, 3), generator=generator).to(torch.uint8).numpy()
        for _ in range(len(cameras))
    ]
    scene = Scene.from_images(images, cameras, near=NEAR, far=20.0, aabb=AABB, unbounded=True)
    return dataclasses.replace(scene, sightings=sightings)


@pytest.fixture
def scene():
    """Five cameras in a row that look along -z, with things from `DEPTH` on."""
    cameras = make_cameras(5, width=SIZE, height=SIZE, focal=FOCAL * SIZE)
    c2w = torch.eye(4)[:3].repeat(5, 1, 1)
    c2w[:, 0, 3] = torch.linspace(-0.8, 0.8, 5)
    return scene_of(dataclasses.replace(cameras, c2w=c2w), [DEPTH] * 5)


def by_hand(dataset, box, cell, nearest, min_views):
    """Whether a cell is ruled out, from the words of `close_to_cameras`."""
    place = box.field_to_world((torch.tensor([cell]) + 0.5) / G)
    cameras, seen, held, close = dataset.cameras, 0, False, False
    for view, distance in enumerate(nearest):
        close |= bool((place - cameras.c2w[view, :, 3]).norm() < NEAR_MARGIN * distance)
        pixels, depth = cameras.project(view, place)
        if (pixels >= 0).all() and (pixels < SIZE).all() and depth > 0:
            seen += bool(depth > dataset.near)
            held |= bool(depth > NEAR_MARGIN * distance)
    return close and not held and seen < min_views


@pytest.mark.parametrize("min_views", [2, 3])
def test_every_cell_is_as_the_words_say(scene, min_views):
    dataset = PyNeRFDataset.from_scene(scene)
    box = SceneBox(AABB, unbounded=True, num_cascades=4)
    nearest = [
        float(dataset.sightings.depths[dataset.sightings.views == view].quantile(0.01))
        for view in range(5)
    ]
    found = close_to_cameras(dataset, box, G, min_views)
    assert 0 < found.float().mean() < 0.5
    expected = [
        by_hand(dataset, box, (x, y, z), nearest, min_views)
        for x in range(G)
        for y in range(G)
        for z in range(G)
    ]
    assert torch.equal(found, torch.tensor(expected))


def test_more_views_rule_out_more(scene):
    dataset = PyNeRFDataset.from_scene(scene)
    box = SceneBox(AABB, unbounded=True, num_cascades=4)
    found = [close_to_cameras(dataset, box, G, n) for n in (1, 2, 4)]
    assert found[0].sum() < found[1].sum() < found[2].sum()
    assert (found[0] <= found[1]).all()
    assert (found[1] <= found[2]).all()


def test_scales_of_a_photo_are_one_view(scene):
    single = PyNeRFDataset.from_scene(scene)
    several = MultiScaleDataset.from_scene(scene, (1, 2, 4))
    box = SceneBox(AABB, unbounded=True, num_cascades=4)
    assert torch.equal(close_to_cameras(single, box, G, 2), close_to_cameras(several, box, G, 2))


def test_without_sparse_points_nothing_is_known(scene):
    box = SceneBox(AABB, unbounded=True, num_cascades=4)
    dataset = PyNeRFDataset.from_scene(scene)
    dataset.sightings = None
    assert close_to_cameras(dataset, box, G, 2) is None
    few = scene.sightings
    few = Sightings(*(values[: LEAST_POINTS - 1] for values in vars(few).values()))
    dataset.sightings = few
    assert close_to_cameras(dataset, box, G, 2) is None


@pytest.mark.parametrize("sampler", ["proposal", "occupancy", "hierarchical"])
def test_what_is_ruled_out_has_no_density(scene, sampler):
    model = tiny_model(unbounded=True, num_cascades=4, sampler=sampler).eval()
    roughen(model.field)
    ruled_out, box = model.field.ruled_out, model.renderer.box
    cells = close_to_cameras(PyNeRFDataset.from_scene(scene), box, ruled_out.resolution, 2)
    rays = view_rays(scene.cameras, 0, (NEAR, 20.0))
    before, state = model.renderer.render_rays(rays), set(model.state_dict())
    ruled_out.rule_out(cells)
    after = model.renderer.render_rays(rays)
    assert not torch.equal(before.rgb, after.rgb)
    assert set(model.state_dict()) == state
    g = ruled_out.resolution
    axis = (torch.arange(g) + 0.5) / g
    places = torch.cartesian_prod(axis, axis, axis)[cells.nonzero().squeeze(-1)[::500]]
    levels, dirs = torch.ones(len(places)), normalize(torch.ones_like(places), dim=-1)
    assert (model.field.density(places, levels) == 0).all()
    assert (model.field(places, dirs, levels).sigmas == 0).all()
    ruled_out.rule_out(torch.zeros_like(cells))
    assert torch.equal(before.rgb, model.renderer.render_rays(rays).rgb)


def test_nothing_is_looked_for_outside_of_a_flat_box():
    box = SceneBox((-1.0, -1.0, -0.25, 1.0, 1.0, 0.25))
    dataset = PyNeRFDataset.from_scene(make_scene())
    possible = possible_cells(dataset, box, 32, use_alpha=False).view(32, 32, 32)
    assert possible[:, :, 12:20].all()  # a quarter of the cube
    assert not possible[:, :, :10].any()
    assert not possible[:, :, 22:].any()
    cube = SceneBox((-1.0,) * 3 + (1.0,) * 3)
    assert possible_cells(dataset, cube, 32, use_alpha=False).all()
