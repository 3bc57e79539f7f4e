import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taichi_pynerf.ops.ray_march import march_rays
from taichi_pynerf.reference import ray_march as reference

RESOLUTION = 16
STEP_SIZE = 0.01
NUM_RAYS = 200
# Number of cascades and growth of the steps: a bounded scene, an unbounded one.
SCENES = pytest.mark.parametrize(("num_cascades", "cone_angle"), [(1, 0.0), (3, 0.01)])


def random_rays(generator, num_rays=NUM_RAYS):
    """Rays from inside the unit cube and from outside, most of them towards it."""
    rays_o = 0.5 + 1.5 * torch.randn(num_rays, 3, generator=generator)
    rays_o[::3] = torch.rand(len(rays_o[::3]), 3, generator=generator)
    targets = torch.rand(num_rays, 3, generator=generator)
    targets[::10] += 2
    rays_d = torch.nn.functional.normalize(targets - rays_o, dim=-1)
    jitter = torch.rand(num_rays, generator=generator)
    near = 0.3 * torch.rand(num_rays, generator=generator)
    bounds = torch.stack([near, near + 5 * torch.rand(num_rays, generator=generator)], dim=1)
    return rays_o, rays_d, jitter, bounds


def random_grid(generator, num_cascades=1, share=0.3):
    shape = (num_cascades, RESOLUTION, RESOLUTION, RESOLUTION)
    return (torch.rand(shape, generator=generator) < share).to(torch.uint8)


def full_grid(num_cascades=1):
    return torch.ones(num_cascades, RESOLUTION, RESOLUTION, RESOLUTION, dtype=torch.uint8)


def midpoints(rays_o, rays_d, samples):
    t = (samples.t_starts + samples.t_ends) / 2
    rays = samples.ray_indices.long()
    return rays_o[rays] + t[:, None] * rays_d[rays]


def find_on_lattice(samples, lattice):
    """Which of all the steps of all the rays were kept, bool [number of steps]."""

    def key(of):
        return 1000 * of.ray_indices.double() + of.t_starts.double()

    steps = torch.searchsorted(key(lattice), key(samples) - STEP_SIZE / 2)
    for name in ("t_starts", "t_ends"):
        on_lattice = getattr(lattice, name)[steps]
        torch.testing.assert_close(getattr(samples, name), on_lattice, rtol=0, atol=1e-5)
    found = torch.zeros(len(lattice.t_starts), dtype=torch.bool)
    found[steps] = True
    assert int(found.sum()) == len(samples.t_starts)
    return found


def distance_to_cell_border(positions, num_cascades):
    """In cells; the borders of the finest cascade are those of the coarser ones too."""
    cells = positions * RESOLUTION / 2 ** (num_cascades - 1)
    finest = positions * RESOLUTION
    return torch.minimum((cells - cells.round()).abs(), (finest - finest.round()).abs()).amin(-1)


@SCENES
def test_matches_twin(generator, num_cascades, cone_angle):
    rays = random_rays(generator)
    occupied = random_grid(generator, num_cascades)
    arguments = STEP_SIZE, cone_angle
    samples, _ = march_rays(*rays, occupied, *arguments)
    twin, _ = reference.march_rays(*rays, occupied, *arguments)
    lattice, _ = reference.march_rays(*rays, full_grid(num_cascades), *arguments)

    kept, expected = find_on_lattice(samples, lattice), find_on_lattice(twin, lattice)
    assert 0 < int(expected.sum()) < len(expected)
    differs = kept != expected
    # Rounding decides on which side of a border a midpoint lies, and nothing else.
    assert differs.float().mean() <= 1e-3
    positions = midpoints(rays[0], rays[1], lattice)
    assert (distance_to_cell_border(positions[differs], num_cascades) <= 1e-4).all()


@SCENES
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_samples_lie_in_occupied_cells(generator, num_cascades, cone_angle, share):
    rays = random_rays(generator)
    occupied = random_grid(generator, num_cascades, share)
    samples, _ = march_rays(*rays, occupied, STEP_SIZE, cone_angle)
    positions = midpoints(rays[0], rays[1], samples)
    inside = distance_to_cell_border(positions, num_cascades) > 1e-4
    assert inside.float().mean() > 0.99
    assert reference.is_occupied(positions[inside], occupied).all()


@SCENES
def test_samples_are_packed_by_ray_and_sorted_by_t(generator, num_cascades, cone_angle):
    rays_o, rays_d, jitter, bounds = random_rays(generator)
    occupied = random_grid(generator, num_cascades)
    samples, t_next = march_rays(rays_o, rays_d, jitter, bounds, occupied, STEP_SIZE, cone_angle)
    assert samples.packed_info.dtype == samples.ray_indices.dtype == torch.int32
    starts, counts = samples.packed_info.unbind(dim=1)
    assert (counts == 0).any()
    assert torch.equal(starts, counts.cumsum(0) - counts)
    assert int(counts.sum()) == len(samples.t_starts)
    assert torch.equal(
        samples.ray_indices.long(), torch.arange(NUM_RAYS).repeat_interleave(counts.long())
    )

    same_ray = samples.ray_indices[1:] == samples.ray_indices[:-1]
    assert (samples.t_starts[1:] >= samples.t_ends[:-1])[same_ray].all()
    assert (samples.t_ends > samples.t_starts).all()
    near, far = bounds[samples.ray_indices.long()].unbind(dim=1)
    assert (samples.t_starts >= near).all()
    assert (samples.t_starts < far).all()
    assert (t_next[samples.ray_indices.long()] >= samples.t_ends).all()


def test_full_grid_is_plain_stepping(generator):
    rays = random_rays(generator)
    samples, _ = march_rays(*rays, full_grid(), STEP_SIZE)
    t_enter, t_exit = reference.enter_and_exit(rays[0], rays[1], rays[3], side=1.0)
    # Steps t_enter + (k + jitter) * dt, as many as start before t_exit.
    num_steps = ((t_exit - t_enter) / STEP_SIZE - rays[2]).ceil().clamp(min=0)
    starts, counts = samples.packed_info.long().unbind(dim=1)
    torch.testing.assert_close(counts.float(), num_steps)

    rays_of_samples = samples.ray_indices.long()
    k = torch.arange(len(samples.t_starts)) - starts[rays_of_samples]
    expected = t_enter[rays_of_samples] + (k + rays[2][rays_of_samples]) * STEP_SIZE
    torch.testing.assert_close(samples.t_starts, expected, rtol=0, atol=5e-5)
    torch.testing.assert_close(samples.t_ends, expected + STEP_SIZE, rtol=0, atol=5e-5)


def test_empty_grid_yields_nothing(generator):
    samples, _ = march_rays(*random_rays(generator), torch.zeros_like(full_grid()), STEP_SIZE)
    assert all(len(tensor) == 0 for tensor in samples[:3])
    assert (samples.packed_info[:, 1] == 0).all()


def test_rays_that_miss_yield_nothing():
    rays_o = torch.tensor([[-1.0, 0.5, 0.5], [-1.0, 0.5, 0.5], [-1.0, 1.5, 0.5], [0.5, 0.5, 0.5]])
    rays_d = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    bounds = torch.tensor([[0.0, 10.0], [0.0, 10.0], [0.0, 10.0], [0.7, 10.0]])
    samples, _ = march_rays(rays_o, rays_d, torch.zeros(4), bounds, full_grid(), STEP_SIZE)
    # The first goes through; one turns its back, one passes by, one starts past the far wall.
    counts = samples.packed_info[:, 1].tolist()
    assert counts[0] == pytest.approx(1 / STEP_SIZE, abs=1)
    assert counts[1:] == [0, 0, 0]


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rays_along_the_axes_cross_each_cell_of_their_row(axis, sign):
    occupied = torch.zeros_like(full_grid())
    cell = [3, 7, 12]
    occupied[0, cell[0], cell[1], cell[2]] = 1
    rays_o = (torch.tensor([cell]) + 0.4) / RESOLUTION
    rays_o[0, axis] = 0.5 - 2 * sign
    rays_d = torch.zeros(1, 3)
    rays_d[0, axis] = sign
    bounds = torch.tensor([[0.0, 10.0]])
    step_size = 1 / (8 * RESOLUTION)
    samples, _ = march_rays(rays_o, rays_d, torch.full((1,), 0.25), bounds, occupied, step_size)
    assert len(samples.t_starts) == 8
    along = midpoints(rays_o, rays_d, samples)[:, axis] * RESOLUTION
    assert (along > cell[axis]).all()
    assert (along < cell[axis] + 1).all()


@SCENES
def test_marching_in_portions_is_marching_at_once(generator, num_cascades, cone_angle):
    rays_o, rays_d, jitter, bounds = random_rays(generator)
    occupied = random_grid(generator, num_cascades)
    arguments = STEP_SIZE, cone_angle
    whole, _ = march_rays(rays_o, rays_d, jitter, bounds, occupied, *arguments)
    portions = []
    while not portions or len(portions[-1].t_starts):
        samples, t_next = march_rays(
            rays_o, rays_d, jitter, bounds, occupied, *arguments, max_samples=7
        )
        assert samples.packed_info[:, 1].max() <= 7
        portions.append(samples)
        jitter = torch.zeros_like(jitter)
        bounds = torch.stack([t_next, bounds[:, 1]], dim=1)
    assert len(portions) > 3
    rays = torch.cat([samples.ray_indices for samples in portions])
    by_ray = rays.sort(stable=True).indices
    for name in ("ray_indices", "t_starts", "t_ends"):
        joined = torch.cat([getattr(samples, name) for samples in portions])[by_ray]
        assert torch.equal(joined, getattr(whole, name))


@SCENES
def test_stops_after_max_samples_where_the_twin_stops(generator, num_cascades, cone_angle):
    rays = random_rays(generator)
    arguments = full_grid(num_cascades), STEP_SIZE, cone_angle, 20
    samples, t_next = march_rays(*rays, *arguments)
    twin, twin_t_next = reference.march_rays(*rays, *arguments)
    assert torch.equal(samples.packed_info, twin.packed_info)
    stopped = samples.packed_info[:, 1] == 20
    assert 0 < int(stopped.sum()) < NUM_RAYS
    torch.testing.assert_close(t_next[stopped], twin_t_next[stopped])


def test_the_same_rays_give_the_same_samples(generator):
    rays = random_rays(generator, num_rays=5000)
    occupied = random_grid(generator)
    first, _ = march_rays(*rays, occupied, STEP_SIZE)
    again, _ = march_rays(*rays, occupied, STEP_SIZE)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


def test_no_rays():
    rays = torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, 2)
    samples, t_next = march_rays(*rays, full_grid(), STEP_SIZE)
    assert samples.packed_info.shape == (0, 2)
    assert len(samples.t_starts) == len(t_next) == 0


def test_non_contiguous_inputs(generator):
    arguments = (*random_rays(generator), random_grid(generator))
    strided = [torch.stack([tensor, tensor], dim=-1)[..., 0] for tensor in arguments]
    assert not any(tensor.is_contiguous() for tensor in strided)
    samples, _ = march_rays(*strided, STEP_SIZE)
    expected, _ = march_rays(*arguments, STEP_SIZE)
    for actual, dense in zip(samples, expected, strict=True):
        assert torch.equal(actual, dense)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (0, torch.zeros(NUM_RAYS, 2)),
        (0, torch.zeros(NUM_RAYS, 3, dtype=torch.float64)),
        (1, torch.zeros(NUM_RAYS - 1, 3)),
        (2, torch.zeros(NUM_RAYS, 1)),
        (3, torch.zeros(NUM_RAYS, 3)),
        (4, torch.ones(8, 8, 8, dtype=torch.uint8)),
        (4, torch.ones(1, 8, 8, 4, dtype=torch.uint8)),
        (4, torch.ones(1, 8, 8, 8)),
        (4, torch.ones(2, 6, 6, 6, dtype=torch.uint8)),  # cell borders of two cascades cross
        (5, 0.0),
        (5, -0.1),
    ],
)
def test_wrong_arguments(generator, argument, value):
    arguments = [*random_rays(generator), full_grid(), STEP_SIZE]
    arguments[argument] = value
    with pytest.raises(ValueError, match=r"must|expected"):
        march_rays(*arguments)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(0, RESOLUTION - 1)] * 3),
    st.tuples(*[st.floats(-2, 3)] * 3),
    st.floats(0, 0.99),
)
@example((0, 0, 0), (1 / 64, 1 / 64, 1 / 64), 0.0)
def test_a_ray_through_the_middle_of_an_occupied_cell_samples_it(cell, origin, jitter):
    middle = (torch.tensor([cell]) + 0.5) / RESOLUTION
    rays_o = torch.tensor([origin])
    distance = float((middle - rays_o).norm())
    if distance < 1 / RESOLUTION:
        rays_o = rays_o + 1 / RESOLUTION
        distance = float((middle - rays_o).norm())
    rays_d = (middle - rays_o) / distance
    occupied = torch.zeros_like(full_grid())
    occupied[0][cell] = 1
    bounds = torch.tensor([[0.0, 10.0]])
    step_size = 1 / (8 * RESOLUTION)
    samples, _ = march_rays(rays_o, rays_d, torch.tensor([jitter]), bounds, occupied, step_size)
    # From face to face, at least a cell's width, at most its diagonal; eight steps a width. And
    # maybe the step with which the ray leaves the grid, which counts to the cell where it begins.
    middles = rays_o + (samples.t_starts + samples.t_ends).unsqueeze(-1) / 2 * rays_d
    inside = ((middles > 0) & (middles < 1)).all(-1)
    assert len(inside) - int(inside.sum()) <= 1
    assert 7 <= int(inside.sum()) <= 8 * 3**0.5 + 1
    torch.testing.assert_close(
        (samples.t_starts[0] + samples.t_ends[-1]) / 2,
        torch.tensor(distance),
        rtol=0,
        atol=1.01 * step_size,
    )
