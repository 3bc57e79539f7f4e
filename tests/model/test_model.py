import pytest
import torch
from scene_makers import make_cameras
from tiny import ball_scene, rays_through_box, roughen, tiny_config, tiny_model

from taichi_pynerf.data import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.pyramid import DEFAULT_PIXEL_AREA
from taichi_pynerf.training.optimization.optimizers import build_optimizers
from taichi_pynerf.training.scene_fit import (
    CELLS_PER_FOOTPRINT,
    finest_footprint,
    fit_background,
    fit_resolution,
    fit_to_scene,
)

SAMPLERS = ["occupancy", "hierarchical"]


def rough_model(**overrides):
    model = tiny_model(**overrides)
    roughen(model.field)
    return model


def inputs(num_rays=20):
    """Arguments of the model: rays_o, rays_d, bounds."""
    rays = rays_through_box(num_rays)
    return rays.rays_o, rays.rays_d, rays.bounds


# ---- the contract -----------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("train", [False, True])
def test_rays_in_and_pixels_out(sampler, train):
    model = rough_model(sampler=sampler).train(train)
    out = model(*inputs())
    assert {name: tuple(x.shape) for name, x in out.items()} == {
        "rgb": (20, 3), "depth": (20,), "acc": (20,)
    }  # fmt: skip
    assert all(x.requires_grad == train for x in out.values())
    assert ((out["acc"] > 0) & (out["acc"] <= 1)).all()
    assert ((out["depth"] > 1) & (out["depth"] < 5)).all()  # the box is around 3 units off
    assert (out["rgb"] <= out["acc"].unsqueeze(-1) + 1e-6).all()  # over black


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("train", [False, True])
def test_directions_may_have_any_length(sampler, train):
    model = rough_model(sampler=sampler).train(train)
    rays_o, rays_d, bounds = inputs()
    length = torch.linspace(0.25, 4.0, 20).unsqueeze(-1)
    torch.manual_seed(5)
    expected = model(rays_o, rays_d, bounds)
    torch.manual_seed(5)
    out = model(rays_o, rays_d * length, bounds / length)
    torch.testing.assert_close(out["rgb"], expected["rgb"], rtol=0, atol=1e-3)
    depth = out["depth"] * length.squeeze(-1)
    torch.testing.assert_close(depth, expected["depth"], rtol=0, atol=1e-2)


def test_the_background_shines_through():
    model = rough_model().eval()
    rays_o, rays_d, bounds = inputs()
    bounds[:, 1] = 3.0  # half-way through the box
    over_black = model(rays_o, rays_d, bounds)
    clear = 1 - over_black["acc"].unsqueeze(-1)
    assert clear.max() > 0.1
    for background in (torch.tensor([1.0, 0.5, 0.25]), torch.rand(20, 3)):
        out = model(rays_o, rays_d, bounds, background=background)
        torch.testing.assert_close(out["rgb"], over_black["rgb"] + clear * background)
    rays_o = rays_o + 100  # nothing but background
    out = model(rays_o, rays_d, bounds, background=torch.tensor([1.0, 0.5, 0.25]))
    assert torch.equal(out["rgb"], torch.tensor([1.0, 0.5, 0.25]).expand(20, 3))
    assert torch.equal(out["depth"], torch.zeros(20))


def test_pixel_areas_are_one_number_or_one_for_each_ray():
    model = rough_model().eval()
    default, number, each, larger = (
        model(*inputs(), **kwargs)["rgb"]
        for kwargs in (
            {},
            {"pixel_areas": DEFAULT_PIXEL_AREA},
            {"pixel_areas": torch.full((20,), DEFAULT_PIXEL_AREA)},
            {"pixel_areas": 0.01},
        )
    )
    assert torch.equal(number, default)
    assert torch.equal(each, default)
    assert (larger - default).abs().max() > 0.05


@pytest.mark.parametrize(
    ("name", "shape"),
    [("rays_o", (20, 2)), ("rays_d", (19, 3)), ("bounds", (20, 3)), ("bounds", (2,))],
)
def test_shapes_that_do_not_fit_are_refused(name, shape):
    arguments = dict(zip(("rays_o", "rays_d", "bounds"), inputs(), strict=True))
    arguments[name] = torch.ones(shape)
    with pytest.raises(ValueError, match=rf"{name} must be \[20, .\], got"):
        tiny_model()(**arguments)


@pytest.mark.parametrize("component", [0.0, float("nan"), float("inf")])
def test_directions_of_no_length_are_refused(component):
    rays_o, rays_d, bounds = inputs()
    rays_d[3] = component
    with pytest.raises(ValueError, match="rays_d"):
        tiny_model()(rays_o, rays_d, bounds)


def test_a_model_needs_to_know_its_finest_resolution():
    with pytest.raises(ConfigError, match="max_resolution"):
        PyNeRF(tiny_config(max_resolution="auto"))


def test_every_tensor_of_a_model_has_one_name():
    state = tiny_model().state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)


@pytest.mark.parametrize("train", [False, True])
def test_no_rays_at_all(train):
    nothing = torch.empty(0, 3)
    out = tiny_model().train(train)(nothing, nothing, torch.empty(0, 2))
    assert [tuple(x.shape) for x in out.values()] == [(0, 3), (0,), (0,)]


# ---- the gradient of the whole ----------------------------------------------------------------

KINDS = [
    {"sampler": "occupancy"},
    {"sampler": "hierarchical"},
    {"output_interpolation": "color", "share_feature_grid": False},
    {"single_level": True},
]


def backward(model):
    """One forward and backward pass over a fresh graph, with the same jitter each time."""
    torch.manual_seed(5)
    pixel_areas = rays_through_box(20).pixel_areas  # of all levels
    out = model(*inputs(), pixel_areas=pixel_areas, background=torch.ones(3))
    target = torch.linspace(0, 1, 60).view(20, 3)
    loss = (out["rgb"] - target).square().mean() + 0.1 * out["depth"].mean()
    loss.backward()


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def clear_gradients(model):
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.zero_()


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_two_backward_passes_give_one_and_the_same_gradient(kind, in_place):
    model = rough_model(**kind)
    if in_place:
        build_optimizers(model, 1e-2)
    backward(model)
    first = gradients(model)
    assert all(gradient.any() for gradient in first.values())
    assert len(first) == len(list(model.parameters()))
    clear_gradients(model)
    backward(model)
    for name, gradient in gradients(model).items():
        assert torch.equal(gradient, first[name]), name


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_accumulating_twice_gives_twice_the_gradient(kind, in_place):
    model = rough_model(**kind)
    if in_place:
        build_optimizers(model, 1e-2)
    backward(model)
    once = gradients(model)
    backward(model)
    for name, gradient in gradients(model).items():
        if in_place and "table" in name:
            # Here every sample's share is added to the sum so far: the same up to rounding.
            tolerance = 1e-6 * float(once[name].abs().max())
            torch.testing.assert_close(gradient, 2 * once[name], rtol=1e-5, atol=tolerance)
        else:
            assert torch.equal(gradient, 2 * once[name]), name


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradients_in_place_are_those_of_autograd(kind):
    by_autograd, in_place = rough_model(**kind), rough_model(**kind)
    build_optimizers(in_place, 1e-2)
    backward(by_autograd)
    backward(in_place)
    expected, found = gradients(by_autograd), gradients(in_place)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient), name


def test_the_gradient_is_the_slope_of_the_loss():
    model = rough_model(early_stop_eps=0.0)
    generator = torch.Generator().manual_seed(0)
    directions = {
        name: torch.randn(p.shape, generator=generator) for name, p in model.named_parameters()
    }

    def loss():
        torch.manual_seed(5)
        out = model(*inputs())
        return (out["rgb"].double() ** 2).mean() + out["acc"].double().mean()

    def moved_by(step):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter += step * directions[name]

    loss().backward()
    expected = sum(float((g * directions[name]).sum()) for name, g in gradients(model).items())
    step = 3e-4
    moved_by(step)
    above = loss().item()
    moved_by(-2 * step)
    below = loss().item()
    assert abs(expected) > 0.01
    assert (above - below) / (2 * step) == pytest.approx(expected, rel=0.02)


# ---- settings that follow from a scene --------------------------------------------------------


def test_the_finest_footprint_is_that_of_the_nearest_and_sharpest_camera():
    scene = ball_scene(num_views=3, size=16)  # on a circle around the origin
    box = SceneBox((-1.0, -1.0, -1.0, 1.0, 1.0, 1.0))
    distances = scene.cameras.c2w[:, :, 3].norm(dim=-1)
    dataset = PyNeRFDataset.from_scene(scene)
    expected = distances.min().item() / (1.8 * 16)
    assert finest_footprint(dataset, box) == pytest.approx(expected, rel=1e-5)
    multi_scale = MultiScaleDataset.from_scene(scene)
    assert finest_footprint(multi_scale, box) == pytest.approx(expected, rel=1e-5)
    dataset.cameras = make_cameras(2, focal=200.0)
    dataset.cameras.fy[1] = 800.0  # a pixel is half as high as wide
    expected = dataset.cameras.c2w[1, :, 3].norm().item() / 400
    assert finest_footprint(dataset, box) == pytest.approx(expected, rel=1e-5)


def test_a_camera_inside_of_the_box_sees_things_at_some_distance():
    dataset = PyNeRFDataset.from_scene(ball_scene(num_views=1, size=16))
    dataset.cameras.c2w[:, :, 3] = 0.0
    box = SceneBox((-1.0, -1.0, -1.0, 1.0, 1.0, 1.0))
    assert finest_footprint(dataset, box) == pytest.approx(0.2 / 28.8, rel=1e-5)


@pytest.mark.parametrize(
    ("has_alpha", "unbounded", "white", "expected"),
    [
        (True, False, True, "random"),
        (False, True, True, "random"),
        (False, False, True, "white"),
        (False, False, False, "black"),
    ],
)
def test_training_is_over_random_colours_unless_the_images_have_a_ground_in_them(
    has_alpha, unbounded, white, expected
):
    dataset = PyNeRFDataset.from_scene(ball_scene(num_views=2, size=8), white_background=white)
    dataset.has_alpha, dataset.unbounded = has_alpha, unbounded
    assert fit_background(dataset) == expected
    assert fit_to_scene(tiny_config(background="auto"), dataset).background == expected
    assert fit_to_scene(tiny_config(background="black"), dataset).background == "black"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [(1.0, 16), (16.0, 16), (16.1, 32), (400.0, 512), (1024.0, 1024), (5000.0, 2048)],
)
def test_the_finest_level_is_the_first_that_has_the_cells(cells, expected):
    assert fit_resolution(cells, 8, 16, 2.0) == expected


def test_fitting_takes_the_box_and_the_finest_resolution_from_the_scene():
    scene = ball_scene(num_views=3, size=16)
    dataset = PyNeRFDataset.from_scene(scene)
    dataset.aabb = (-2.0, -1.0, -1.0, 2.0, 1.0, 1.0)
    config = fit_to_scene(tiny_config(max_resolution="auto", num_levels=8), dataset)
    assert config.aabb == dataset.aabb
    cells = CELLS_PER_FOOTPRINT * 4.0 / finest_footprint(dataset, SceneBox(dataset.aabb))
    assert config.max_resolution / 2 < cells <= config.max_resolution
    assert fit_to_scene(tiny_config(max_resolution=20), dataset).max_resolution == 20
