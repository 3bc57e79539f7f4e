import pytest
import torch

from taichi_pynerf.model.occupancy import OccupancyGrid, TrainedLevels

G = 16


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def ball_density(positions):
    """50 within 0.25 of the middle of the unit cube, nothing elsewhere."""
    return 50.0 * ((positions - 0.5).norm(dim=-1) < 0.25).float()


def cell_centres():
    """[G^3, 3] in the order of the cells."""
    axis = (torch.arange(G) + 0.5) / G
    return torch.cartesian_prod(axis, axis, axis)


def updated(density_at, num_updates, threshold=1.0, seed=0):
    grid, generator = OccupancyGrid(G), seeded(seed)
    for _ in range(num_updates):
        grid.update(density_at, threshold, generator)
    return grid


# ---- occupancy --------------------------------------------------------------------------------


def test_a_fresh_grid_is_occupied_everywhere():
    grid = OccupancyGrid(G)
    assert grid.occupied.shape == (1, G, G, G)
    assert grid.occupied.all()


def test_cell_numbers_are_those_of_the_occupied_array():
    grid = OccupancyGrid(G)
    cells = torch.tensor([0, 1, G, G * G, G**3 - 1, 1234])
    xyz = grid.cell_coordinates(cells)
    assert xyz.tolist()[:4] == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    occupied = torch.arange(G**3).view(1, G, G, G)
    x, y, z = xyz.long().unbind(-1)
    assert torch.equal(occupied[0, x, y, z], cells)


def test_the_grid_finds_a_ball():
    grid = updated(ball_density, 24)
    distance = (cell_centres() - 0.5).norm(dim=-1)
    occupied = grid.occupied.view(-1).bool()
    half_diagonal = 3**0.5 / 2 / G
    assert occupied[distance < 0.25 - half_diagonal].float().mean() > 0.95
    assert not occupied[distance > 0.25 + half_diagonal].any()


def test_measured_points_lie_in_the_cells_that_they_are_for():
    # Where the density is the cell's own number, a running maximum shows any mix-up.
    def number_of_cell(positions):
        assert positions.min() >= 0
        assert positions.max() < 1
        x, y, z = (positions * G).long().unbind(-1)
        return ((x * G + y) * G + z).float()

    grid = updated(number_of_cell, 1)
    measured = grid.density > 0
    assert measured.float().mean() > 0.15
    cells = torch.arange(G**3).float()
    assert torch.equal(grid.density[measured], cells[measured])


def test_points_vary_within_their_cells():
    seen = []

    def record(positions):
        seen.append(positions * G % 1)
        return torch.ones(len(positions))

    updated(record, 1)
    for axis in seen[0].unbind(-1):
        assert axis.mean() == pytest.approx(0.5, abs=0.05)
        assert axis.std() == pytest.approx(12**-0.5, abs=0.05)


def test_density_is_a_running_maximum_that_decays():
    grid = updated(lambda x: torch.full((len(x),), 8.0), 20)
    before = grid.density.clone()
    measured = before > 0
    assert 0.9 < measured.float().mean() < 1
    grid.update(lambda x: torch.full((len(x),), 1.0), 1.0, seeded(1))
    torch.testing.assert_close(grid.density[measured], grid.decay * before[measured])
    assert grid.density[~measured].unique().tolist() == [0.0, 1.0]


def test_what_has_gone_is_empty_again_in_the_end():
    grid, generator = updated(ball_density, 20), seeded(1)
    left = cell_centres()[:, 0] < 0.5
    assert grid.occupied.view(-1)[~left].any()
    for _ in range(200):
        grid.update(lambda x: ball_density(x) * (x[:, 0] < 0.5), 1.0, generator)
    assert grid.occupied.view(-1)[left].any()
    assert not grid.occupied.view(-1)[~left].any()


def test_what_appears_later_is_found():
    grid, generator = updated(lambda x: 1e-3 * x[:, 0], 20), seeded(1)
    for _ in range(100):
        grid.update(ball_density, 1.0, generator)
    inside = (cell_centres() - 0.5).norm(dim=-1) < 0.2
    assert grid.occupied.view(-1)[inside].float().mean() > 0.9


def test_the_threshold_decides():
    def two_halves(positions):
        return torch.where(positions[:, 0] < 0.5, 3.0, 20.0)  # above 4 after 16 decays

    lower, upper = updated(two_halves, 16, threshold=4.0).occupied[0].float().split(G // 2)
    assert lower.mean() == 0
    assert upper.mean() > 0.95


def test_a_faint_scene_is_held_to_its_mean_density():
    grid = updated(lambda x: 1e-3 * x[:, 0], 16, threshold=4.0)
    lower, upper = grid.occupied[0].float().split(G // 2)
    assert lower[: G // 4].mean() == 0
    assert upper[G // 4 :].mean() > 0.95


def test_later_updates_measure_fewer_cells_and_the_occupied_ones_most():
    sizes, inside = [], []

    def record(positions):
        sizes.append(len(positions))
        inside.append((ball_density(positions) > 0).float().mean())
        return ball_density(positions)

    grid = updated(record, OccupancyGrid.warmup_updates + 3)
    assert sizes[: OccupancyGrid.warmup_updates] == [G**3 // 4] * OccupancyGrid.warmup_updates
    later = G**3 / 32 + int(grid.occupied.sum()) / 2
    assert sizes[-3:] == pytest.approx([later] * 3, rel=0.05)
    assert max(inside[: OccupancyGrid.warmup_updates]) < 0.1  # the ball is 6.5% of the cube
    assert min(inside[-3:]) > 0.3


@pytest.mark.parametrize("num_updates", [1, 20])
def test_cells_that_can_hold_nothing_are_never_occupied_nor_measured(num_updates):
    seen = []

    def record(positions):
        seen.append(positions)
        return 20.0 * positions[:, 1]

    possible = torch.zeros(G, G, G, dtype=torch.bool)
    possible[3:9, :, 5:] = True
    grid, generator = OccupancyGrid(G), seeded()
    grid.update(record, 0.0, generator)  # some have a density already
    seen.clear()
    grid.restrict(possible.view(-1))
    assert grid.occupied.any()
    assert not grid.occupied[0].bool()[~possible].any()
    for _ in range(num_updates):
        grid.update(record, 1e9, generator)  # so it is the mean density that decides
    assert not grid.occupied[0].bool()[~possible].any()
    x, _, z = (torch.cat(seen) * G).long().unbind(-1)
    assert ((x >= 3) & (x < 9) & (z >= 5)).all()
    # The mean is that of the possible cells: a good half of these is above it.
    if num_updates > 1:
        assert 0.35 < grid.occupied[0][possible].float().mean() < 0.65


def test_updates_repeat_with_the_seed():
    first, second, other = (updated(ball_density, 18, seed=seed) for seed in (0, 0, 1))
    for name, tensor in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor)
    assert not torch.equal(other.density, first.density)


def test_a_grid_that_has_become_empty_goes_on_looking():
    grid = updated(lambda x: torch.zeros(len(x)), 17)
    assert not grid.occupied.any()
    for seed in range(60):
        grid.update(ball_density, 1.0, seeded(seed))
    assert grid.occupied.any()


# ---- trained levels ---------------------------------------------------------------------------


@pytest.fixture
def trained():
    """Levels 1 to 2.5 trained in one cell, level 3 in another one."""
    levels = TrainedLevels(resolution=8)
    here, there = torch.tensor([[0.1, 0.6, 0.9], [0.7, 0.7, 0.1]])
    levels.record(torch.stack([here, here + 0.01, there]), torch.tensor([1.0, 2.5, 3.0]))
    return levels, here, there


def test_the_grid_of_the_model_has_128_cells_along_each_axis():
    assert TrainedLevels().level_min.shape == TrainedLevels().level_max.shape == (128**3,)


def test_levels_are_clamped_to_what_was_trained_there(trained):
    levels, here, there = trained
    asked = torch.tensor([0.0, 1.0, 1.7, 2.5, 2.6, 5.0])
    clamped = levels.clamp(here.expand(6, 3), asked)
    assert clamped.tolist() == pytest.approx([1.0, 1.0, 1.7, 2.5, 2.5, 2.5])
    assert levels.clamp(there.expand(6, 3), asked).tolist() == [3.0] * 6


def test_levels_stay_where_nothing_was_trained(trained):
    levels, here, _ = trained
    asked = torch.tensor([0.0, 1.7, 5.0])
    assert torch.equal(levels.clamp((1 - here).expand(3, 3), asked), asked)
    assert torch.equal(levels.clamp(here[[1, 0, 2]].expand(3, 3), asked), asked)


def test_recording_more_only_widens(trained):
    levels, here, _ = trained
    levels.record(here.expand(2, 3), torch.tensor([2.0, 0.5]))
    assert levels.clamp(here.expand(2, 3), torch.tensor([0.0, 9.0])).tolist() == [0.5, 2.5]


def test_positions_on_the_border_of_the_cube_belong_to_its_last_cells():
    levels = TrainedLevels(resolution=8)
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    levels.record(corners, torch.arange(8.0))
    inward = corners.clamp(0.05, 0.95)
    assert torch.equal(levels.clamp(inward, torch.zeros(8)), torch.arange(8.0))


def test_drawn_levels_are_spread_over_the_trained_ones(trained):
    levels, here, there = trained
    drawn = levels.draw(here.expand(2000, 3), 6, seeded())
    assert drawn.min() == pytest.approx(1.0, abs=0.01)
    assert drawn.max() == pytest.approx(2.5, abs=0.01)
    assert drawn.mean() == pytest.approx(1.75, abs=0.05)
    assert torch.equal(levels.draw(there.expand(9, 3), 6, seeded()), torch.full((9,), 3.0))


def test_drawn_levels_are_any_where_nothing_was_trained(trained):
    levels, here, _ = trained
    drawn = levels.draw((1 - here).expand(2000, 3), 6, seeded())
    assert drawn.min() == pytest.approx(0.0, abs=0.02)
    assert drawn.max() == pytest.approx(5.0, abs=0.02)
    assert torch.equal(levels.draw((1 - here).expand(2000, 3), 6, seeded()), drawn)


def test_cells_are_found_in_the_finest_cascade_that_holds_them():
    grid = OccupancyGrid(4, num_cascades=3)
    grid.occupied.zero_()
    grid.occupied[0, 3, 0, 0] = 1  # unit [0.75, 1] x [0, 0.25] x [0, 0.25]
    grid.occupied[2, 0, 0, 3] = 1  # unit [-1.5, -0.5] x [-1.5, -0.5] x [1.5, 2.5]
    positions = torch.tensor(
        [[0.8, 0.1, 0.2], [0.7, 0.1, 0.2], [-1.0, -1.0, 2.0], [-1.0, -1.0, 1.0], [9.0, 0.5, 0.5]]
    )
    assert grid.at(positions).tolist() == [True, False, True, False, False]
    assert grid.cascade_of(positions).tolist() == [0, 0, 2, 2, 5]
