import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taichi_pynerf.ops.occupancy import binarise, update_density, update_level_range
from taichi_pynerf.reference import occupancy as reference

SIDE = 8
NUM_CELLS = SIDE**3


@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
def test_update_density_matches_twin(generator, index_dtype):
    density = torch.rand(NUM_CELLS, generator=generator)
    twin = density.clone()
    # More visits than cells: many cells come several times.
    cells = torch.randint(0, NUM_CELLS, (3 * NUM_CELLS,), generator=generator, dtype=index_dtype)
    sigmas = 2 * torch.rand(len(cells), generator=generator)
    update_density(density, cells, sigmas, 0.95)
    reference.update_density(twin, cells, sigmas, 0.95)
    assert torch.equal(density, twin)


def test_update_density_by_hand():
    density = torch.tensor([1.0, 1.0, 0.0, 4.0])
    cells = torch.tensor([1, 1, 2], dtype=torch.int32)
    update_density(density, cells, torch.tensor([3.0, 2.0, 0.25]), 0.5)
    assert density.tolist() == [0.5, 3.0, 0.25, 2.0]


def test_no_visited_cells_only_decay():
    density = torch.ones(NUM_CELLS)
    update_density(density, torch.zeros(0, dtype=torch.int32), torch.zeros(0), 0.5)
    assert (density == 0.5).all()


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.integers(0, 2**31))
def test_density_never_rises_unseen_nor_falls_below_what_was_seen(decay, seed):
    generator = torch.Generator().manual_seed(seed)
    before = torch.rand(NUM_CELLS, generator=generator)
    density = before.clone()
    cells = torch.randint(0, NUM_CELLS, (100,), generator=generator)
    sigmas = torch.rand(100, generator=generator)
    update_density(density, cells, sigmas, decay)
    unseen = torch.ones(NUM_CELLS, dtype=torch.bool)
    unseen[cells] = False
    assert (density[unseen] <= before[unseen]).all()
    assert (density[cells] >= sigmas).all()


def test_binarise_matches_twin(generator):
    density = torch.rand(NUM_CELLS, generator=generator)
    density[0] = 0.5  # the threshold itself
    occupied = binarise(density, 0.5)
    assert occupied.dtype == torch.uint8
    assert torch.equal(occupied, reference.binarise(density, 0.5))
    assert 0 < int(occupied.sum()) < NUM_CELLS


def empty_range():
    return torch.full((NUM_CELLS,), torch.inf), torch.full((NUM_CELLS,), -torch.inf)


def test_update_level_range_matches_twin(generator):
    ranges, twin_ranges = empty_range(), empty_range()
    for _ in range(2):
        positions = torch.rand(NUM_CELLS, 3, generator=generator)
        positions[0], positions[1] = 0.0, 1.0  # the corners of the box
        levels = 7 * torch.rand(NUM_CELLS, generator=generator)
        update_level_range(*ranges, positions, levels)
        reference.update_level_range(*twin_ranges, positions, levels)
    for actual, expected in zip(ranges, twin_ranges, strict=True):
        assert torch.equal(actual, expected)
    seen = ranges[0].isfinite()
    assert 0 < int(seen.sum()) < NUM_CELLS
    assert (ranges[0][seen] <= ranges[1][seen]).all()


def test_level_range_of_the_cell_where_the_sample_lies():
    level_min, level_max = empty_range()
    positions = torch.tensor([[1.5, 2.5, 3.5], [1.2, 2.9, 3.1]]) / SIDE
    update_level_range(level_min, level_max, positions, torch.tensor([4.0, 2.0]))
    cell = (1 * SIDE + 2) * SIDE + 3
    assert (level_min[cell], level_max[cell]) == (2.0, 4.0)
    assert int(level_min.isfinite().sum()) == 1


def test_no_samples_leave_the_level_range():
    level_min, level_max = empty_range()
    update_level_range(level_min, level_max, torch.zeros(0, 3), torch.zeros(0))
    assert not level_min.isfinite().any()
    assert not level_max.isfinite().any()


@pytest.mark.parametrize(
    ("density", "cells", "sigmas"),
    [
        (torch.zeros(8, 8), torch.zeros(5, dtype=torch.int32), torch.zeros(5)),
        (torch.zeros(64), torch.zeros(5, dtype=torch.int32), torch.zeros(6)),
        (torch.zeros(64), torch.zeros(5), torch.zeros(5)),
        (torch.zeros(64, dtype=torch.int32), torch.zeros(5, dtype=torch.int32), torch.zeros(5)),
    ],
    ids=["density not flat", "too many sigmas", "cells not integer", "density integer"],
)
def test_wrong_arguments_of_update_density(density, cells, sigmas):
    with pytest.raises(ValueError, match=r"must|expected"):
        update_density(density, cells, sigmas, 0.95)


@pytest.mark.parametrize(
    ("level_min", "level_max", "positions", "levels"),
    [
        (torch.zeros(64), torch.zeros(65), torch.zeros(5, 3), torch.zeros(5)),
        (torch.zeros(65), torch.zeros(65), torch.zeros(5, 3), torch.zeros(5)),
        (torch.zeros(64), torch.zeros(64), torch.zeros(5, 2), torch.zeros(5)),
        (torch.zeros(64), torch.zeros(64), torch.zeros(5, 3), torch.zeros(6)),
    ],
    ids=["two sizes", "not a cube", "positions in a plane", "too many levels"],
)
def test_wrong_arguments_of_update_level_range(level_min, level_max, positions, levels):
    with pytest.raises(ValueError, match=r"must|expected"):
        update_level_range(level_min, level_max, positions, levels)
