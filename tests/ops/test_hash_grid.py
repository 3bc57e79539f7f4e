import itertools

import pytest
import taichi as ti
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.kernels.hash_grid import HashGridSpec, hash_grid_kernels
from taichi_pynerf.ops.hash_grid import hash_encode, level_table
from taichi_pynerf.reference import hash_grid as reference

# Two dense levels, two hashed ones; at 2048 the hash products leave 32 bits.
SPEC = HashGridSpec(resolutions=(4, 8, 60, 2048), features_per_level=2, hash_table_size=1024)
SMALL_SPEC = HashGridSpec(resolutions=(2, 5), features_per_level=2, hash_table_size=64)
NUM_SAMPLES = 300


def random_inputs(generator, spec=SPEC, num_samples=NUM_SAMPLES, dtype=torch.float32):
    """Positions (the box's corners among them), a table and cotangents of the features."""
    positions = torch.rand(num_samples, 3, generator=generator, dtype=dtype)
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=dtype)
    positions[: len(corners)] = corners[:num_samples]
    shape = (spec.num_entries, spec.features_per_level)
    table = torch.randn(shape, generator=generator, dtype=dtype)
    cotangents = torch.randn(num_samples, spec.num_features, generator=generator, dtype=dtype)
    return positions, table, cotangents


def gradients(encode, positions, table, cotangents):
    """Features, and the gradients to positions and table, on leaves of their own."""
    positions = positions.detach().clone().requires_grad_()
    table = table.detach().clone().requires_grad_()
    features = encode(positions, table)
    return features, *torch.autograd.grad(features, (positions, table), cotangents)


def level_columns(spec, level):
    return slice(level * spec.features_per_level, (level + 1) * spec.features_per_level)


@pytest.mark.parametrize("features_per_level", [1, 2, 4])
def test_values_and_gradients_match_twin(
    generator, use_autodiff, assert_matches, features_per_level
):
    spec = HashGridSpec(SPEC.resolutions, features_per_level, SPEC.hash_table_size)
    inputs = random_inputs(generator, spec)
    actual = gradients(
        lambda x, table: hash_encode(x, table, spec, use_autodiff=use_autodiff), *inputs
    )
    expected = gradients(lambda x, table: reference.hash_encode(x, table, spec), *inputs)
    for result, twin in zip(actual, expected, strict=True):
        assert_matches(result, twin)


def test_levels_a_sample_does_not_need_are_zero_and_get_no_gradient(
    generator, use_autodiff, assert_matches
):
    level_begin = torch.tensor([0, 40, 250, NUM_SAMPLES], dtype=torch.int32)
    inputs = random_inputs(generator)
    features, grad_positions, grad_table = gradients(
        lambda x, table: hash_encode(x, table, SPEC, level_begin, use_autodiff), *inputs
    )
    expected = gradients(
        lambda x, table: reference.hash_encode(x, table, SPEC, level_begin), *inputs
    )
    for result, twin in zip((features, grad_positions, grad_table), expected, strict=True):
        assert_matches(result, twin)

    for level, begin in enumerate(level_begin.tolist()):
        columns = features[:, level_columns(SPEC, level)]
        assert (columns[:begin] == 0).all()
        assert (columns[begin:] != 0).all()
    assert (grad_table[SPEC.level_offsets[3] :] == 0).all()


@pytest.mark.float64
def test_gradcheck(generator, use_autodiff):
    _, table, _ = random_inputs(generator, SMALL_SPEC, dtype=torch.float64)
    # Inside the cells: on their borders the encoding has a kink.
    positions = torch.rand(4, 3, generator=generator, dtype=torch.float64)
    level_begin = torch.tensor([0, 2], dtype=torch.int32)
    for begin in (None, level_begin):
        assert torch.autograd.gradcheck(
            lambda x, table, begin=begin: hash_encode(x, table, SMALL_SPEC, begin, use_autodiff),
            (positions.requires_grad_(), table.requires_grad_()),
        )


def test_one_gradient_without_the_other(generator, use_autodiff, assert_matches):
    positions, table, cotangents = random_inputs(generator)
    _, grad_positions, grad_table = gradients(
        lambda x, table: reference.hash_encode(x, table, SPEC), positions, table, cotangents
    )
    for leaf, expected in ((table, grad_table), (positions, grad_positions)):
        leaf.requires_grad_()
        features = hash_encode(positions, table, SPEC, use_autodiff=use_autodiff)
        (actual,) = torch.autograd.grad(features, leaf, cotangents)
        assert_matches(actual, expected)
        leaf.requires_grad_(False)


def dyadic_inputs(generator):
    """Inputs whose sums are exact in float32, so that they do not depend on their order."""
    positions = torch.randint(0, 65, (NUM_SAMPLES, 3), generator=generator) / 64
    shape = (SMALL_SPEC.num_entries, SMALL_SPEC.features_per_level)
    table = torch.randint(-8, 9, shape, generator=generator).float()
    shape = (NUM_SAMPLES, SMALL_SPEC.num_features)
    cotangents = torch.randint(-8, 9, shape, generator=generator).float()
    return positions.requires_grad_(), table.requires_grad_(), cotangents


def test_second_backward_gives_the_same_gradient(generator, use_autodiff):
    positions, table, cotangents = dyadic_inputs(generator)
    features = hash_encode(positions, table, SMALL_SPEC, use_autodiff=use_autodiff)
    first = torch.autograd.grad(features, (positions, table), cotangents, retain_graph=True)
    second = torch.autograd.grad(features, (positions, table), cotangents)
    again = hash_encode(positions, table, SMALL_SPEC, use_autodiff=use_autodiff)
    third = torch.autograd.grad(again, (positions, table), cotangents)
    for one, two, three in zip(first, second, third, strict=True):
        assert one.abs().max() > 0
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_accumulating_twice_gives_exactly_twice(generator, use_autodiff):
    positions, table, cotangents = dyadic_inputs(generator)

    def accumulate():
        hash_encode(positions, table, SMALL_SPEC, use_autodiff=use_autodiff).backward(cotangents)

    accumulate()
    once = positions.grad.clone(), table.grad.clone()
    accumulate()
    assert once[1].abs().max() > 0
    assert torch.equal(positions.grad, 2 * once[0])
    assert torch.equal(table.grad, 2 * once[1])


def test_accumulating_in_place_adds_the_same_gradient(generator, use_autodiff, assert_matches):
    positions, table, cotangents = random_inputs(generator)
    _, grad_positions, grad_table = gradients(
        lambda x, table: hash_encode(x, table, SPEC, use_autodiff=use_autodiff),
        positions,
        table,
        cotangents,
    )
    buffer = torch.randn(table.shape, generator=generator)
    before = buffer.clone()
    positions.requires_grad_()
    table.requires_grad_()
    features = hash_encode(
        positions, table, SPEC, use_autodiff=use_autodiff, accumulate_into=buffer
    )
    assert torch.equal(buffer, before)
    features.backward(cotangents)
    assert_matches(buffer, before + grad_table)
    assert_matches(positions.grad, grad_positions)
    assert table.grad is None


def test_known_features_are_handed_on_and_have_the_same_gradients(
    generator, use_autodiff, assert_matches
):
    inputs = random_inputs(generator)
    expected = gradients(lambda x, y: hash_encode(x, y, SPEC, use_autodiff=use_autodiff), *inputs)
    known = expected[0].detach().clone()
    actual = gradients(
        lambda x, y: hash_encode(x, y, SPEC, use_autodiff=use_autodiff, known_features=known),
        *inputs,
    )
    assert torch.equal(actual[0], expected[0])
    for result, twin in zip(actual[1:], expected[1:], strict=True):
        # Taichi's derivative adds a position's levels up in any order.
        assert_matches(result, twin)
        assert use_autodiff or torch.equal(result, twin)
    with pytest.raises(ValueError, match="known_features"):
        hash_encode(*inputs[:2], SPEC, known_features=known[1:])


def test_backward_leaves_inputs_and_cotangents_alone(generator, use_autodiff):
    inputs = random_inputs(generator)
    before = [tensor.clone() for tensor in inputs]
    gradients(lambda x, table: hash_encode(x, table, SPEC, use_autodiff=use_autodiff), *inputs)
    for now, then in zip(inputs, before, strict=True):
        assert torch.equal(now, then)


def test_gradients_land_where_torch_puts_them_and_nowhere_else(generator, use_autodiff):
    """Taichi gives every leaf that it is handed a `.grad`; torch.autograd.grad gives none."""
    positions, table, cotangents = random_inputs(generator)
    leaves = positions.requires_grad_(), table.requires_grad_()
    features = hash_encode(*leaves, SPEC, use_autodiff=use_autodiff)
    torch.autograd.grad(features, leaves, cotangents)
    assert positions.grad is None
    assert table.grad is None


def test_written_adjoint_does_not_depend_on_thread_timing(generator, backend):
    if backend != "cpu":
        pytest.skip("atomic additions have no fixed order")
    inputs = random_inputs(generator, num_samples=20_000)
    first = gradients(lambda x, table: hash_encode(x, table, SPEC), *inputs)
    for _ in range(3):
        again = gradients(lambda x, table: hash_encode(x, table, SPEC), *inputs)
        for one, other in zip(first, again, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("along_rays", [False, True])
def test_the_adjoint_for_many_threads_matches_twin(generator, assert_matches, along_rays):
    """On any backend: successive samples in one cell, in another, of no gradient."""
    positions, table, cotangents = random_inputs(generator)
    if along_rays:
        ends = torch.rand(2, NUM_SAMPLES // 30, 1, 3, generator=generator)
        positions = torch.lerp(*ends, torch.linspace(0, 1, 30).unsqueeze(-1)).view(-1, 3)
    cotangents[::4] = 0
    level_begin = torch.tensor([0, 0, 3, 13], dtype=torch.int32)
    shape = NUM_SAMPLES, SPEC.num_levels, SPEC.features_per_level
    grad_table = torch.zeros_like(table)
    hash_grid_kernels(SPEC, ti.f32).encode_adjoint_table_atomic(
        positions.contiguous(), cotangents.view(shape), level_table(SPEC, table.device),
        level_begin, grad_table,
    )  # fmt: skip
    used = torch.arange(NUM_SAMPLES).unsqueeze(1) >= level_begin
    masked = (cotangents.view(shape) * used.unsqueeze(-1)).view(NUM_SAMPLES, -1)
    table.requires_grad_()
    features = reference.hash_encode(positions, table, SPEC)
    (expected,) = torch.autograd.grad(features, table, masked)
    assert_matches(grad_table, expected)


def test_the_adjoint_for_many_threads_hides_nothing(generator):
    positions, table, cotangents = random_inputs(generator)
    cotangents[5, 0] = float("nan")
    grad_table = torch.zeros_like(table)
    shape = NUM_SAMPLES, SPEC.num_levels, SPEC.features_per_level
    hash_grid_kernels(SPEC, ti.f32).encode_adjoint_table_atomic(
        positions, cotangents.view(shape), level_table(SPEC, table.device),
        torch.zeros(SPEC.num_levels, dtype=torch.int32), grad_table,
    )  # fmt: skip
    assert grad_table.isnan().any()


def test_non_contiguous_inputs(generator, use_autodiff, assert_matches):
    positions, table, cotangents = random_inputs(generator)
    strided = [
        torch.stack([tensor, tensor + 1], dim=-1)[..., 0]
        for tensor in (positions, table, cotangents)
    ]
    assert not any(tensor.is_contiguous() for tensor in strided)

    def encode(x, table):
        return hash_encode(x, table, SPEC, use_autodiff=use_autodiff)

    x, entries = strided[0].requires_grad_(), strided[1].requires_grad_()
    features = encode(x, entries)
    actual = (features, *torch.autograd.grad(features, (x, entries), strided[2]))
    expected = gradients(encode, positions, table, cotangents)
    for result, dense in zip(actual, expected, strict=True):
        assert_matches(result, dense)


def test_no_samples(use_autodiff):
    positions = torch.zeros(0, 3, requires_grad=True)
    table = torch.ones(SPEC.num_entries, SPEC.features_per_level, requires_grad=True)
    features = hash_encode(positions, table, SPEC, use_autodiff=use_autodiff)
    assert features.shape == (0, SPEC.num_features)
    features.sum().backward()
    assert positions.grad.shape == (0, 3)
    assert (table.grad == 0).all()


TABLE_SHAPE = (SPEC.num_entries, SPEC.features_per_level)


@pytest.mark.parametrize(
    ("positions", "table", "level_begin"),
    [
        (torch.zeros(5, 2), torch.zeros(TABLE_SHAPE), None),
        (torch.zeros(15), torch.zeros(TABLE_SHAPE), None),
        (torch.zeros(5, 3), torch.zeros(SPEC.num_entries + 1, 2), None),
        (torch.zeros(5, 3), torch.zeros(SPEC.num_entries, 3), None),
        (torch.zeros(5, 3, dtype=torch.int32), torch.zeros(TABLE_SHAPE), None),
        (torch.zeros(5, 3), torch.zeros(TABLE_SHAPE, dtype=torch.float64), None),
        (torch.zeros(5, 3), torch.zeros(TABLE_SHAPE), torch.zeros(3, dtype=torch.int32)),
        (torch.zeros(5, 3), torch.zeros(TABLE_SHAPE), torch.zeros(4)),
    ],
    ids=[
        "positions in a plane",
        "positions flat",
        "table too long",
        "table too wide",
        "integer positions",
        "mixed precision",
        "level_begin too short",
        "level_begin not integer",
    ],
)
def test_wrong_arguments(positions, table, level_begin):
    with pytest.raises(ValueError, match=r"must|expected"):
        hash_encode(positions, table, SPEC, level_begin)


@pytest.mark.parametrize(
    "buffer",
    [
        torch.zeros(SPEC.num_entries + 1, 2),
        torch.zeros(TABLE_SHAPE, dtype=torch.float64),
        torch.zeros(TABLE_SHAPE[::-1]).T,
    ],
    ids=["too long", "mixed precision", "not contiguous"],
)
def test_wrong_buffer_to_accumulate_into(buffer):
    with pytest.raises(ValueError, match="accumulate_into"):
        hash_encode(torch.zeros(5, 3), torch.zeros(TABLE_SHAPE), SPEC, accumulate_into=buffer)


@pytest.mark.parametrize(
    "arguments",
    [((), 2, 64), ((0, 4), 2, 64), ((2, 4), 0, 64), ((2, 4), 2, 100), ((2, 4), 2, 4)],
    ids=["no level", "empty level", "no feature", "no power of two", "tiny table"],
)
def test_wrong_spec(arguments):
    with pytest.raises(ValueError, match="must be"):
        HashGridSpec(*arguments)


def test_a_grid_with_more_numbers_than_32_bits_count_is_refused():
    resolutions = tuple(range(1000, 1032))  # all hashed
    with pytest.raises(ConfigError, match=r"8,589,934,592 numbers.*lower hash_table_size"):
        HashGridSpec(resolutions, features_per_level=4, hash_table_size=2**26)
    largest = HashGridSpec(resolutions[:31], features_per_level=1, hash_table_size=2**26)
    assert level_table(largest, torch.device("cpu"))[-1].tolist() == [1030, 30 * 2**26, 0]


def test_spec_lays_levels_one_after_another():
    # (4 + 1)^3 = 125 and (8 + 1)^3 = 729 vertices, rounded up to a multiple of 8.
    assert tuple(SPEC.level_sizes) == (128, 736, 1024, 1024)
    assert tuple(SPEC.level_offsets[: SPEC.num_levels]) == (0, 128, 864, 1888)
    assert SPEC.num_entries == 2912
    assert [SPEC.dense(level) for level in range(SPEC.num_levels)] == [True, True, False, False]


@pytest.mark.float64
def test_dense_level_is_trilinear_interpolation_as_torch_has_it(generator, assert_matches):
    positions, table, _ = random_inputs(generator, dtype=torch.float64)
    features = hash_encode(positions, table, SPEC)
    for level in (0, 1):
        side = SPEC.resolutions[level] + 1
        begin = SPEC.level_offsets[level]
        volume = table[begin : begin + side**3].reshape(side, side, side, -1)
        expected = torch.nn.functional.grid_sample(
            volume.permute(3, 0, 1, 2)[None],
            (2 * positions - 1)[None, None, None],
            align_corners=True,
        )
        assert_matches(features[:, level_columns(SPEC, level)], expected[0, :, 0, 0].T)


@pytest.mark.float64
def test_every_vertex_of_a_dense_level_has_an_entry_of_its_own():
    spec = HashGridSpec(resolutions=(3, 7, 10), features_per_level=1, hash_table_size=2048)
    table = torch.arange(spec.num_entries, dtype=torch.float64)[:, None]
    for level, resolution in enumerate(spec.resolutions):
        assert spec.dense(level)
        ticks = torch.arange(resolution + 1, dtype=torch.float64) / resolution
        vertices = torch.cartesian_prod(ticks, ticks, ticks)
        entries = hash_encode(vertices, table, spec)[:, level].round().long()
        assert len(entries.unique()) == (resolution + 1) ** 3
        begin = spec.level_offsets[level]
        assert begin <= entries.min()
        assert entries.max() < begin + spec.level_sizes[level]


coordinates = st.floats(0, 1)


@settings(max_examples=25, deadline=None)
@given(st.tuples(coordinates, coordinates, coordinates), st.integers(0, 2), st.data())
@pytest.mark.float64
def test_continuous_across_cell_borders(position, axis, data):
    table = torch.randn(
        SPEC.num_entries,
        SPEC.features_per_level,
        generator=torch.Generator().manual_seed(1),
        dtype=torch.float64,
    )
    level = data.draw(st.integers(0, SPEC.num_levels - 1), label="level")
    resolution = SPEC.resolutions[level]
    border = data.draw(st.integers(1, resolution - 1), label="border") / resolution
    step = 1e-10
    either_side = torch.tensor([position, position], dtype=torch.float64)
    either_side[:, axis] = torch.tensor([border - step, border + step], dtype=torch.float64)
    before, after = hash_encode(either_side, table, SPEC)
    # A feature changes by at most (difference of two entries) * resolution per unit of length.
    steepest = 2 * float(table.abs().max()) * max(SPEC.resolutions)
    assert (after - before).abs().max() <= 2 * step * steepest


@settings(max_examples=25, deadline=None)
@given(st.tuples(coordinates, coordinates, coordinates), st.floats(-10, 10))
@pytest.mark.float64
def test_constant_table_gives_constant_features(position, value):
    table = torch.full((SPEC.num_entries, SPEC.features_per_level), value, dtype=torch.float64)
    features = hash_encode(torch.tensor([position], dtype=torch.float64), table, SPEC)
    torch.testing.assert_close(features, torch.full_like(features, value))
