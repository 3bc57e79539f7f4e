import pytest
import torch
from tiny import random_samples, tiny_config, tiny_field

from taichi_pynerf.model import field as field_module
from taichi_pynerf.model.encodings import PyramidEncoder
from taichi_pynerf.model.field import KnownFeatures, PyramidField, truncated_exp
from taichi_pynerf.model.heads import unsort
from taichi_pynerf.model.pyramid import interpolate_pyramid_outputs
from taichi_pynerf.ops.spherical_harmonics import spherical_harmonics

NUM_LEVELS = 4
FEATURES = 2  # per grid level

# The kinds of field: what its heads read, and what is blended how.
SHARED = {"share_feature_grid": True}
OWN = {"share_feature_grid": False}
ONE_PASS = {"pyramid_loss_weight": 0.0}
KINDS = [
    pytest.param({**grid, **blend, **between}, id="-".join([grid_id, blend_id, between_id]))
    for grid_id, grid in (("shared", SHARED), ("own", OWN))
    for blend_id, blend in (
        ("embedding", {"output_interpolation": "embedding"}),
        ("color", {"output_interpolation": "color"}),
    )
    for between_id, between in (
        ("linear", {"level_interpolation": "linear"}),
        ("none", {"level_interpolation": "none"}),
    )
] + [
    pytest.param({"single_level": True}, id="single_level"),
    pytest.param(dict(single_level=True, **OWN), id="single_level-own"),
    pytest.param({"single_level": True, "output_interpolation": "color"}, id="single_level-color"),
    # Networks forward and backward over blocks of rows.
    pytest.param({**ONE_PASS, "level_interpolation": "none"}, id="one pass-none"),
    pytest.param({**ONE_PASS, "single_level": True}, id="one pass-single_level"),
    pytest.param(ONE_PASS, id="one pass-linear"),
]
LINEAR_KINDS = [kind for kind in KINDS if kind.id.endswith("linear")]


def naive_field(field, positions, dirs, levels):
    """Densities [M] and colours [M, 3]: all heads on all samples, then blended. No sorting."""
    config = field.config
    outputs = []
    for head, network in enumerate(field.heads):
        encoder = field.encoders[0 if config.share_feature_grid else head]
        num_grid_levels = NUM_LEVELS if config.single_level else head + 1
        outputs.append(network(encoder(positions)[:, : num_grid_levels * FEATURES]))
    basis = spherical_harmonics(dirs)

    def color(head, embedding):
        return torch.sigmoid(field.color_heads[head](torch.cat([embedding, basis], 1)))

    def density(embedding):
        return embedding[:, :1].clamp(max=15).exp()

    mode = config.level_interpolation
    if config.output_interpolation == "embedding":
        embedding = interpolate_pyramid_outputs(outputs, levels, mode)
        return density(embedding).squeeze(-1), color(0, embedding)
    both = [torch.cat([density(x), color(head, x)], 1) for head, x in enumerate(outputs)]
    both = interpolate_pyramid_outputs(both, levels, mode)
    return both[:, 0], both[:, 1:]


def values(field, samples):
    """[M, 4] density and colour of samples."""
    out = field(*samples)
    return torch.cat([out.sigmas.unsqueeze(-1), out.rgbs], 1)


def gradients(field, sigmas, rgbs, seed=1):
    """Gradients of all parameters under random cotangents, zeros where there is none."""
    generator = torch.Generator().manual_seed(seed)
    loss = (sigmas * torch.randn(sigmas.shape, generator=generator)).sum()
    loss = loss + (rgbs * torch.randn(rgbs.shape, generator=generator)).sum()
    field.zero_grad()
    loss.backward()
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in field.named_parameters()
    }


def parameters_of_head(field, head):
    """Parameters that one head has for itself."""
    own = [*field.heads[head].parameters()]
    if field.config.output_interpolation == "color":
        own += field.color_heads[head].parameters()
    return own


def disturb(parameters):
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn_like(parameter))


def assert_near(actual, expected, tolerance=1e-5):
    """An error counts against the largest element, not against each."""
    assert actual.shape == expected.shape
    largest = float(expected.detach().abs().max())
    assert largest > 0
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * largest)


# ---- one field, two ways to compute it --------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_match_the_naive_field(kind):
    field, samples = tiny_field(**kind), random_samples()
    out = field(*samples)
    sigmas, rgbs = naive_field(field, *samples)
    assert_near(out.sigmas, sigmas)
    assert_near(out.rgbs, rgbs)
    actual = gradients(field, out.sigmas, out.rgbs)
    expected = gradients(field, sigmas, rgbs)
    for name, gradient in expected.items():
        assert_near(actual[name], gradient)


@pytest.mark.parametrize("kind", KINDS)
def test_density_alone_is_the_density_of_the_whole(kind):
    field, (positions, dirs, levels) = tiny_field(**kind), random_samples()
    sigmas = field.density(positions, levels)
    assert sigmas.shape == (200,)
    torch.testing.assert_close(sigmas, field(positions, dirs, levels).sigmas)


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_the_density_is_the_same(kind):
    field, (positions, _, levels) = tiny_field(**kind), random_samples()
    expected = field.density(positions, levels)
    assert expected.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(field.density(positions, levels), expected.detach())


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.values[0].get("output_interpolation") != "color"]
)
def test_codes_give_the_densities_and_the_colours_of_the_samples_that_are_asked(kind):
    field, (positions, dirs, levels) = tiny_field(**kind), random_samples()
    expected = field(positions, dirs, levels)
    codes = field.codes(positions, levels)
    torch.testing.assert_close(codes.sigmas, expected.sigmas.detach())
    for index in (torch.tensor([5, 0, 17, 5]), torch.arange(len(levels)), torch.arange(0)):
        rgbs = field.colors(codes, index, dirs[index])
        assert rgbs.shape == (len(index), 3)
        torch.testing.assert_close(rgbs, expected.rgbs.detach()[index])


@pytest.mark.parametrize("kind", KINDS)
def test_features_kept_by_the_density_serve_the_whole_field(kind):
    field, samples = tiny_field(**kind), random_samples()
    positions, _, levels = samples
    expected = field(*samples)
    rows = field.new_features(300)
    if rows is None:  # the heads have grids of their own
        assert not field.config.share_feature_grid
        return
    places = torch.randperm(300)[:200]
    with torch.no_grad():
        field.density(positions, levels, KnownFeatures(rows, places))
    some = torch.arange(0, 200, 3)
    actual = field(*(x[some] for x in samples), KnownFeatures(rows, places[some]))
    torch.testing.assert_close(actual.sigmas, expected.sigmas[some])
    torch.testing.assert_close(actual.rgbs, expected.rgbs[some])
    actual_gradients = gradients(field, actual.sigmas, actual.rgbs)
    again = field(*(x[some] for x in samples))
    for name, gradient in gradients(field, again.sigmas, again.rgbs).items():
        torch.testing.assert_close(actual_gradients[name], gradient)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_samples_does_not_matter(kind):
    field, samples = tiny_field(**kind), random_samples()
    order = torch.randperm(200, generator=torch.Generator().manual_seed(3))
    shuffled = values(field, [x[order] for x in samples])
    torch.testing.assert_close(shuffled, values(field, samples)[order])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_does_not_depend_on_the_others(kind):
    field, samples = tiny_field(**kind), random_samples()
    together = values(field, samples)
    for i in (0, 3, 50, 199):
        alone = values(field, [x[i : i + 1] for x in samples])
        torch.testing.assert_close(alone, together[i : i + 1])


@pytest.mark.parametrize("kind", KINDS)
def test_no_samples_at_all(kind):
    field = tiny_field(**kind)
    nothing = torch.empty(0, 3)
    out = field(nothing, nothing, torch.empty(0))
    assert out.sigmas.shape == (0,)
    assert out.rgbs.shape == (0, 3)
    assert field.density(nothing, torch.empty(0)).shape == (0,)
    (out.sigmas.sum() + out.rgbs.sum()).backward()
    for parameter in field.parameters():
        assert parameter.grad is None or not parameter.grad.any()


# ---- which heads a sample uses ----------------------------------------------------------------


@pytest.mark.parametrize("kind", LINEAR_KINDS)
@pytest.mark.parametrize("level", range(NUM_LEVELS))
def test_a_sample_on_an_integer_level_uses_one_head(kind, level):
    field, (positions, dirs, _) = tiny_field(**kind), random_samples()
    samples = positions, dirs, torch.full((200,), float(level))
    out = field(*samples)
    gradients(field, out.sigmas, out.rgbs)
    before = values(field, samples)
    for head in set(range(NUM_LEVELS)) - {level}:
        for parameter in parameters_of_head(field, head):
            assert parameter.grad is None or not parameter.grad.any()
            disturb([parameter])
    assert torch.equal(values(field, samples), before)
    assert all(parameter.grad.any() for parameter in parameters_of_head(field, level))
    disturb(parameters_of_head(field, level))
    assert not torch.isclose(values(field, samples), before).all(-1).any()


@pytest.mark.parametrize("kind", LINEAR_KINDS)
@pytest.mark.parametrize("level", [0.5, 1.25, 2.75])
def test_a_sample_between_two_levels_uses_their_two_heads(kind, level):
    field, (positions, dirs, _) = tiny_field(**kind), random_samples()
    samples = positions, dirs, torch.full((200,), level)
    before = values(field, samples)
    used = {int(level), int(level) + 1}
    for head in set(range(NUM_LEVELS)) - used:
        disturb(parameters_of_head(field, head))
    assert torch.equal(values(field, samples), before)
    for head in used:
        disturb(parameters_of_head(field, head))
        now = values(field, samples)
        assert not torch.isclose(now, before).all(-1).any()
        before = now


@pytest.mark.parametrize("kind", LINEAR_KINDS)
def test_density_and_colour_are_continuous_across_levels(kind):
    field, (positions, dirs, _) = tiny_field(**kind), random_samples()

    def at(level):
        return values(field, (positions, dirs, torch.full((200,), level)))

    for level in range(NUM_LEVELS):
        here = at(float(level))
        if level > 0:
            torch.testing.assert_close(at(level - 1e-6), here, rtol=1e-3, atol=1e-3)
            assert (at(level - 0.5) - here).abs().max() > 0.05
        if level < NUM_LEVELS - 1:
            torch.testing.assert_close(at(level + 1e-6), here, rtol=1e-3, atol=1e-3)
            assert (at(level + 0.5) - here).abs().max() > 0.05


def test_without_interpolation_the_nearest_head_has_it_all():
    field = tiny_field(level_interpolation="none")
    positions, dirs, _ = random_samples()

    def at(level):
        return values(field, (positions, dirs, torch.full((200,), level)))

    assert torch.equal(at(1.4), at(1.0))
    assert torch.equal(at(1.6), at(2.0))
    assert not torch.isclose(at(1.4), at(1.6)).all(-1).any()


@pytest.mark.parametrize("level", [-3.0, 99.0])
def test_levels_beyond_the_pyramid_are_its_ends(level):
    field, (positions, dirs, _) = tiny_field(), random_samples()
    end = 0.0 if level < 0 else NUM_LEVELS - 1.0
    beyond, at_end = (
        values(field, (positions, dirs, torch.full((200,), x))) for x in (level, end)
    )  # fmt: skip
    assert torch.equal(beyond, at_end)


# ---- which features a head sees ---------------------------------------------------------------


def split_by_grid_level(field, gradient):
    """Rows of a shared table, level by level."""
    return gradient.split(field.encoders[0].spec.level_sizes)


@pytest.mark.parametrize("blend", ["embedding", "color"])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, 1.75, 2.0, 3.0])
def test_a_head_sees_no_finer_grid_feature(blend, level):
    field = tiny_field(output_interpolation=blend)
    (encoder,) = field.encoders
    positions, dirs, _ = random_samples()
    samples = positions, dirs, torch.full((200,), level)
    out = field(*samples)
    gradients(field, out.sigmas, out.rgbs)
    finest_seen = int(-(-level // 1))
    for grid_level, gradient in enumerate(split_by_grid_level(field, encoder.table.grad)):
        assert bool(gradient.any()) == (grid_level <= finest_seen)

    before = values(field, samples)
    rows = [torch.zeros(n) + i for i, n in enumerate(encoder.spec.level_sizes)]
    level_of_row = torch.cat(rows)
    with torch.no_grad():
        encoder.table[level_of_row > finest_seen] += 1
    assert torch.equal(values(field, samples), before)
    with torch.no_grad():
        encoder.table[level_of_row == finest_seen] *= -1
    assert not torch.isclose(values(field, samples), before).all(-1).any()


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, 2.25])
def test_a_head_with_a_grid_of_its_own_sees_no_other_grid(level):
    field = tiny_field(**OWN)
    assert [encoder.spec.num_levels for encoder in field.encoders] == [1, 2, 3, 4]
    positions, dirs, _ = random_samples()
    samples = positions, dirs, torch.full((200,), level)
    before = values(field, samples)
    used = {int(level), int(-(-level // 1))}
    for head in set(range(NUM_LEVELS)) - used:
        disturb(field.encoders[head].parameters())
    assert torch.equal(values(field, samples), before)
    for head in used:
        disturb(field.encoders[head].parameters())
    assert not torch.isclose(values(field, samples), before).all(-1).any()


def test_the_single_level_field_has_one_head_on_the_whole_grid():
    field, samples = tiny_field(single_level=True), random_samples()
    assert (field.num_heads, len(field.heads), len(field.encoders)) == (1, 1, 1)
    out = field(*samples)
    gradients(field, out.sigmas, out.rgbs)
    assert all(g.any() for g in split_by_grid_level(field, field.encoders[0].table.grad))
    no_level = values(field, (*samples[:2], torch.zeros(200)))
    assert torch.equal(values(field, samples), no_level)  # levels mean nothing to it


def test_the_cap_on_resolution_leaves_out_whole_levels():
    field = tiny_field(max_resolution=20)
    assert field.resolutions == (4, 8, 16)
    assert field.num_heads == len(field.heads) == 3


# ---- small parts ------------------------------------------------------------------------------


def test_truncated_exp():
    x = torch.tensor([-20.0, 0.0, 3.0, 14.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(truncated_exp, (x,))
    torch.testing.assert_close(truncated_exp(x), x.exp())
    large = torch.tensor([16.0, 1e4], requires_grad=True)
    truncated_exp(large).sum().backward()
    limit = torch.full((2,), 15.0).exp()
    torch.testing.assert_close(truncated_exp(large), limit)
    torch.testing.assert_close(large.grad, limit)  # not 0: what is too dense can still thin out


def test_mixed_precision_gives_nearly_the_same_in_float32():
    full, mixed = tiny_field(), tiny_field(mixed_precision=True)
    samples = random_samples()
    expected, actual = values(full, samples), values(mixed, samples)
    assert actual.dtype == torch.float32
    assert not torch.equal(actual, expected)
    assert ((actual - expected).abs() / expected.abs().clamp_min(0.1)).median() < 0.02
    out = mixed(*samples)
    for gradient in gradients(mixed, out.sigmas, out.rgbs).values():
        assert gradient.dtype == torch.float32
        assert gradient.isfinite().all()
        assert gradient.any()


@pytest.mark.parametrize("num_rays", [4096, 65536])
def test_mixed_precision_keeps_the_gradients_of_large_batches(num_rays, monkeypatch):
    """A mean over rays has a gradient of 1 / num_rays each, and fresh features are small."""
    samples = random_samples()

    def shares_of_zeros(**settings):
        torch.manual_seed(0)
        field = PyramidField(tiny_config(**settings))
        rgbs = field(*samples).rgbs
        ((rgbs - 0.3).square().mean(1).sum() / num_rays).backward()
        return {name: float((p.grad == 0).float().mean()) for name, p in field.named_parameters()}

    full, mixed = shares_of_zeros(), shares_of_zeros(mixed_precision=True)
    assert mixed == pytest.approx(full, abs=0.02)
    monkeypatch.setattr(field_module, "NETWORK_DTYPE", torch.float16)
    lost = shares_of_zeros(mixed_precision=True)  # as they would be on any device
    assert [lost[name] for name in lost if name.startswith("heads")] == [1.0] * 8


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
def test_a_device_without_bfloat16_says_so_and_stays_in_float32(capability, monkeypatch, recwarn):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a small card")
    field_module.has_bfloat16.cache_clear()
    assert field_module.has_bfloat16(torch.device("cuda")) == (capability >= (8, 0))
    field_module.has_bfloat16.cache_clear()
    said = [str(warning.message) for warning in recwarn]
    assert len(said) == (capability < (8, 0))
    assert all("a small card has no bfloat16" in text for text in said)


def test_second_derivatives_of_what_torch_computes_are_right():
    x = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(truncated_exp, (x,))
    rows = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.autograd.gradgradcheck(lambda rows: unsort(rows, order).square(), (rows,))


def test_an_encoder_gives_its_features_level_after_level():
    encoder = PyramidEncoder(
        num_levels=3, base_resolution=4, max_resolution=16, features_per_level=2,
        hash_table_size=2**11,
    )  # fmt: skip
    assert encoder.spec.resolutions == (4, 8, 16)
    assert encoder.total_features == 6
    assert 0 < encoder.table.abs().max() <= 1e-4
    with torch.no_grad():
        for level, rows in enumerate(encoder.table.split(encoder.spec.level_sizes)):
            rows.fill_(level + 1.0)
    features = encoder(torch.rand(5, 3))
    torch.testing.assert_close(features, torch.tensor([1.0, 1, 2, 2, 3, 3]).expand(5, 6))


def test_networks_are_handed_to_torch_compile_on_request():
    """Compiling takes a compiler and a minute: here torch runs them as they are."""
    plain, compiled = tiny_field(), tiny_field(compile=True)
    assert list(compiled.state_dict()) == list(plain.state_dict())  # checkpoints stay the same
    networks = [*compiled.heads, *compiled.color_heads]
    assert all(network._compiled_call_impl is not None for network in networks)
    assert all(network._compiled_call_impl is None for network in plain.heads)
    with torch.compiler.set_stance("force_eager"):
        outputs = compiled(*random_samples())
    assert torch.equal(outputs.sigmas, plain(*random_samples()).sigmas)
