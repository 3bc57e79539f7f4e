import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from taichi_pynerf.geometry.contraction import contract, uncontract

coordinate = st.floats(-1e3, 1e3)
points = st.tuples(coordinate, coordinate, coordinate)


def random_points(num_points=500, spread=4.0, seed=0):
    """[M, 3] float64, inside and outside of the box."""
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(num_points, 3, generator=generator, dtype=torch.float64)


def random_directions(num_points=500, seed=1):
    return normalize(random_points(num_points, seed=seed), dim=-1)


def jacobians(x):
    """[M, 3, 3] of the contraction, by central differences."""
    h = 1e-6
    columns = [(contract(x + h * e) - contract(x - h * e)) / (2 * h) for e in torch.eye(3).double()]
    return torch.stack(columns, -1)


def test_the_box_stays_as_it_is():
    x = 2 * torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) - 1
    assert torch.equal(contract(x), x)
    assert torch.equal(uncontract(x), x)


@settings(max_examples=200, deadline=None)
@given(points)
def test_all_of_space_goes_into_the_cube_and_comes_back(point):
    x = torch.tensor([point], dtype=torch.float64)
    y = contract(x)
    assert y.abs().max() < 2
    torch.testing.assert_close(uncontract(y), x, rtol=1e-9, atol=1e-12)


def test_every_place_in_the_cube_is_the_image_of_one_point():
    generator = torch.Generator().manual_seed(0)
    y = 3.998 * torch.rand(500, 3, generator=generator, dtype=torch.float64) - 1.999
    torch.testing.assert_close(contract(uncontract(y)), y, rtol=1e-12, atol=1e-12)


def test_it_is_mip_nerf_360s_along_an_axis():
    x = torch.tensor([[0.0, -5.0, 0.0]])
    torch.testing.assert_close(contract(x), torch.tensor([[0.0, -(2 - 1 / 5), 0.0]]))


def test_lines_through_the_centre_stay_and_keep_their_order():
    directions = random_directions(50)
    m = directions.abs().amax(-1, keepdim=True)
    reach = [contract(t * directions / m) for t in (0.5, 0.999, 1.001, 3.0, 100.0)]
    for y in reach:
        torch.testing.assert_close(normalize(y, dim=-1), directions)
    lengths = torch.stack([y.norm(dim=-1) for y in reach])
    assert (lengths.diff(dim=0) > 0).all()


def test_it_is_continuous_across_the_border_of_the_box_and_smooth_along_lines_through_it():
    directions = random_directions(200)
    border = directions / directions.abs().amax(-1, keepdim=True)
    eps = 1e-6
    inside, outside = contract((1 - eps) * border), contract((1 + eps) * border)
    torch.testing.assert_close(inside, outside, rtol=0, atol=4e-6)
    slope_inside = (contract(border) - inside) / eps
    slope_outside = (outside - contract(border)) / eps
    torch.testing.assert_close(slope_inside, slope_outside, rtol=0, atol=1e-5)


def test_its_gradient_is_that_of_finite_differences():
    x = random_points().requires_grad_()
    expected = jacobians(x.detach())
    for row, column in enumerate(contract(x).unbind(-1)):
        (gradient,) = torch.autograd.grad(column.sum(), x, retain_graph=True)
        torch.testing.assert_close(gradient, expected[:, row], rtol=1e-5, atol=1e-8)
