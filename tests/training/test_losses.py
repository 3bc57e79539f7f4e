import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import tiny_config, tiny_field, tiny_model

from taichi_pynerf.model.proposals import Histogram
from taichi_pynerf.ops.ray_march import Samples
from taichi_pynerf.training.losses import (
    TOGETHER,
    PyNeRFLoss,
    distortion,
    loss_inputs,
    proposal_loss,
    pyramid_consistency,
    structure,
    table_energy,
)


def packed(counts, generator, dtype=torch.float32):
    """Random intervals, so many on each ray, ascending with gaps."""
    parts = []
    for ray, count in enumerate(counts):
        borders = torch.rand(2 * count, generator=generator, dtype=dtype).sort().values + 2
        parts.append((borders[::2], borders[1::2], torch.full((count,), ray)))
    t_starts, t_ends, ray_indices = (torch.cat(x) for x in zip(*parts, strict=True))
    counts = torch.tensor(counts)
    packed_info = torch.stack([counts.cumsum(0) - counts, counts], -1).int()
    return Samples(t_starts, t_ends, ray_indices.int(), packed_info)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- the weighted sum -------------------------------------------------------------------------


def some_batch(**weights):
    """A loss of the given weights, and what it is asked about."""
    field = tiny_field()
    positions, ray_indices, levels = ray_samples()
    samples = packed([30, 30], seeded())
    out = field(positions, torch.tensor([[0.0, 0.0, 1.0]]).repeat(60, 1), levels)
    outputs = {
        "rgb": torch.rand(5, 3, generator=seeded(1)),
        "render": SimpleNamespace(
            field=out,
            positions=positions,
            samples=samples._replace(ray_indices=ray_indices),
            weights=torch.rand(60, generator=seeded(2)),
        ),
        "resolutions": field.resolutions,
        "encoders": field.encoders,
        "networks": list(field.heads.parameters()),
        "acc": torch.rand(5, generator=seeded(4)),
        "progress": 1.0,
    }
    targets = {
        "rgb": torch.rand(5, 3, generator=seeded(3)),
        "weights": torch.tensor([0.1, 0.0, 1.0, 3.0, 0.9]),
        "acc": torch.tensor([1.0, 1.0, 0.0, 1.0, 0.5]),
    }
    off = dict.fromkeys(
        (
            "color_loss_weight", "pyramid_loss_weight", "distortion_loss_weight", "hash_decay"
        ), 0.0,
    )  # fmt: skip
    return PyNeRFLoss(tiny_config(**{**off, **weights})), outputs, targets


def test_colour_loss_is_the_mean_of_weighted_squares():
    loss, outputs, targets = some_batch(color_loss_weight=0.5)
    losses = loss(outputs, targets)
    expected = sum(
        w * sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / 3
        for w, x, y in zip(
            targets["weights"].tolist(), outputs["rgb"].tolist(), targets["rgb"].tolist(),
            strict=True,
        )
    ) / 5  # fmt: skip
    assert losses["color_loss"].item() == pytest.approx(expected)
    assert losses["total_loss"].item() == pytest.approx(0.5 * expected)


def test_a_pixel_counts_for_as_much_as_its_weight():
    loss, outputs, targets = some_batch(color_loss_weight=1.0)
    outputs["rgb"].requires_grad_()
    loss(outputs, targets)["total_loss"].backward()
    difference = outputs["rgb"].detach() - targets["rgb"]
    expected = targets["weights"][:, None] * 2 * difference / 15
    torch.testing.assert_close(outputs["rgb"].grad, expected)
    assert not outputs["rgb"].grad[1].any()


TERMS = {
    "color_loss_weight": "color_loss",
    "pyramid_loss_weight": "pyramid_loss",
    "distortion_loss_weight": "distortion_loss",
    "hash_decay": "hash_decay",
    "opacity_loss_weight": "opacity_loss",
    "weight_decay": "weight_decay",
    "structure_loss_weight": "structure_loss",
}


def test_the_total_is_the_weighted_sum_of_the_terms():
    loss, outputs, targets = some_batch(
        color_loss_weight=1.0, pyramid_loss_weight=0.25, distortion_loss_weight=0.5, hash_decay=2.0,
        opacity_loss_weight=0.75, weight_decay=1.5, structure_loss_weight=0.375,
    )  # fmt: skip
    losses = {name: value.item() for name, value in loss(outputs, targets).items()}
    assert set(losses) == {"total_loss", *TERMS.values()}
    assert all(value > 0 for value in losses.values())
    expected = (
        losses["color_loss"] + 0.25 * losses["pyramid_loss"] + 0.5 * losses["distortion_loss"]
        + 2.0 * losses["hash_decay"] + 0.75 * losses["opacity_loss"] + 1.5 * losses["weight_decay"]
        + 0.375 * losses["structure_loss"]
    )  # fmt: skip
    assert losses["total_loss"] == pytest.approx(expected)


@pytest.mark.parametrize("weight", list(TERMS)[1:])
def test_a_term_is_computed_if_it_has_a_weight(weight):
    loss, outputs, targets = some_batch(**{weight: 0.125})
    losses = loss(outputs, targets)
    assert set(losses) == {"total_loss", "color_loss", TERMS[weight]}
    assert losses["total_loss"].item() == pytest.approx(0.125 * losses[TERMS[weight]].item())


def ssim_of(x, y):
    """Wang et al. 2004, eq. 13, of one group of numbers."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    covariance = np.mean((x - x.mean()) * (y - y.mean()))
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * x.mean() * y.mean() + c1) * (2 * covariance + c2)) / (
        (x.mean() ** 2 + y.mean() ** 2 + c1) * (x.var() + y.var() + c2)
    )


def test_structure_is_one_minus_ssim_of_pixels_drawn_together():
    generator = seeded(5)
    rgb, target = torch.rand(2, 2 * TOGETHER + 5, 3, generator=generator)
    groups = [slice(0, TOGETHER), slice(TOGETHER, 2 * TOGETHER)]
    expected = np.mean([ssim_of(rgb[g, c], target[g, c]) for g in groups for c in range(3)])
    assert structure(rgb, target).item() == pytest.approx(1 - expected, abs=1e-6)
    assert structure(target, target).item() == pytest.approx(0, abs=1e-6)
    assert structure(rgb[:3], target[:3]).item() > 0  # fewer than a group


def test_the_gradient_of_structure():
    rgb, target = torch.rand(2, TOGETHER, 3, generator=seeded(6), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: structure(x, target), rgb.requires_grad_())


def test_of_two_errors_as_large_structure_punishes_lost_contrast_more():
    target = torch.rand(TOGETHER, 3, generator=seeded(7)) * 0.4 + 0.3
    blurred = target.mean(0).expand_as(target)
    size = (target - blurred).square().mean(0).sqrt()
    assert structure(blurred, target) > 2 * structure(target + size, target)


def test_the_distortion_loss_grows_with_the_training():
    loss, outputs, targets = some_batch(distortion_loss_weight=0.5)
    totals = {p: loss({**outputs, "progress": p}, targets)["total_loss"].item()
              for p in (0.0, 0.5, 1.0)}  # fmt: skip
    assert totals[0.0] == 0.0
    assert totals[0.5] == pytest.approx(totals[1.0] / 4)
    assert totals[1.0] > 0


def test_opacity_is_held_to_alpha_and_weights_to_zero():
    loss, outputs, targets = some_batch(opacity_loss_weight=1.0, weight_decay=1.0)
    losses = loss(outputs, targets)
    expected = sum(
        w * (a - b) ** 2
        for w, a, b in zip(
            *(x.tolist() for x in (targets["weights"], outputs["acc"], targets["acc"])), strict=True
        )
    ) / 5  # fmt: skip
    assert losses["opacity_loss"].item() == pytest.approx(expected)
    entries = torch.cat([x.reshape(-1) for x in outputs["networks"]])
    assert losses["weight_decay"].item() == pytest.approx(entries.square().mean().item())
    del targets["acc"]
    assert "opacity_loss" not in loss(outputs, targets)


def test_terms_are_those_of_the_functions():
    loss, outputs, targets = some_batch(
        pyramid_loss_weight=1.0, distortion_loss_weight=1.0, hash_decay=1.0
    )
    losses, render = loss(outputs, targets), outputs["render"]
    (encoder,) = outputs["encoders"]
    assert torch.equal(
        losses["pyramid_loss"],
        pyramid_consistency(
            render.field, render.positions, render.samples.ray_indices, outputs["resolutions"]
        ),
    )
    assert torch.equal(losses["distortion_loss"], distortion(render.weights, render.samples))
    assert torch.equal(losses["hash_decay"], table_energy(encoder.table, encoder.spec.level_sizes))


# ---- pyramid consistency ----------------------------------------------------------------------


def ray_samples():
    """30 samples each on two rays across the unit cube: positions, rays, levels that vary."""
    t = (torch.arange(30) + 0.5) / 30
    first = torch.stack([t, 0.3 + 0.2 * t, 0.6 - 0.1 * t], -1)
    second = torch.stack([0.7 - 0.1 * t, 1 - t, 0.2 + 0.5 * t], -1)
    levels = torch.cat([2.9 - 2.8 * t, 1.0 + 0.8 * t])
    rays = torch.arange(2).repeat_interleave(30).int()
    return torch.cat([first, second]), rays, levels


def naive_consistency(field, positions, ray_indices, levels):
    """By definition: each sample in turn joins the run before it, or begins a new one."""
    (encoder,) = field.encoders
    features = encoder(positions)
    per_level = encoder.spec.features_per_level
    outputs = [
        head(features[:, : (level + 1) * per_level]) for level, head in enumerate(field.heads)
    ]
    runs = []
    for level, resolution in enumerate(field.resolutions[:-1]):
        last_key = None
        for i in range(len(levels)):
            if math.floor(levels[i]) != level:
                continue
            cell = tuple((positions[i] * resolution).floor().tolist())
            if (cell, ray_indices[i].item()) != last_key:
                runs.append([])
                last_key = (cell, ray_indices[i].item())
            runs[-1].append(outputs[level][i] - outputs[level + 1][i].detach())
    assert len(levels) > len(runs) > 3  # some run is longer than 1
    return torch.stack([torch.stack(run).mean(0).square().mean() for run in runs]).mean()


def consistency_of(field, positions, ray_indices, levels):
    dirs = torch.tensor([[0.0, 0.0, 1.0]]).repeat(len(levels), 1)
    out = field(positions, dirs, levels)
    return pyramid_consistency(out, positions, ray_indices, field.resolutions)


def test_consistency_and_its_gradient_are_as_defined():
    field, samples = tiny_field(), ray_samples()
    parameters = list(field.heads.parameters()) + list(field.encoders.parameters())
    actual, expected = consistency_of(field, *samples), naive_consistency(field, *samples)
    assert expected > 0.01
    torch.testing.assert_close(actual, expected)
    gradients = (
        torch.autograd.grad(loss, parameters, allow_unused=True) for loss in (actual, expected)
    )
    for one, other in zip(*gradients, strict=True):
        if other is None:
            assert one is None or not one.any()
        else:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_the_finer_head_is_the_teacher_and_gets_no_gradient():
    field = tiny_field()
    positions, ray_indices, _ = ray_samples()
    loss = consistency_of(field, positions, ray_indices, torch.full((60,), 1.5))
    loss.backward()
    for head, network in enumerate(field.heads):
        for parameter in network.parameters():
            assert (parameter.grad is not None and bool(parameter.grad.any())) == (head == 1)


def with_outputs(field, positions, levels, outputs):
    """The field's outputs with head outputs put in their place: a value per head and sample."""
    out = field(positions, positions, levels)
    heads = [
        outputs[head][out.slices.order[slice(*out.slices.rows(head))]]
        for head in range(field.num_heads)
    ]
    return SimpleNamespace(slices=out.slices, head_outputs=heads)


def test_a_field_that_keeps_no_outputs_of_its_heads_is_refused():
    field = tiny_field(pyramid_loss_weight=0.0)
    positions, levels = torch.rand(4, 3), torch.full((4,), 1.5)
    out = field(positions, positions, levels)
    with pytest.raises(ValueError, match="pyramid_loss_weight"):
        pyramid_consistency(out, positions, torch.zeros(4, dtype=torch.int32), field.resolutions)


def test_heads_agree_if_they_do_so_in_the_mean_over_a_cell():
    field = tiny_field()
    # Pairs of samples in one cell of level 1 (8 cells); the levels are between 1 and 2.
    centres = (torch.arange(8) + 0.5) / 8
    positions = torch.stack([centres, centres, centres], -1).repeat_interleave(2, 0)
    positions[1::2] += 0.03
    levels, rays = torch.full((16,), 1.25), torch.zeros(16, dtype=torch.int32)
    coarse, detail = torch.randn(8, 8).repeat_interleave(2, 0), torch.randn(8, 8)
    fine = coarse + torch.stack([detail, -detail], 1).view(16, 8)
    outputs = [torch.full((16, 8), math.nan), coarse, fine, torch.full((16, 8), math.nan)]

    def loss_of(rays, positions=positions):
        return pyramid_consistency(
            with_outputs(field, positions, levels, outputs), positions, rays, field.resolutions
        ).item()

    assert loss_of(rays) == pytest.approx(0.0, abs=1e-12)
    # Taken one by one, the samples of a pair do not agree: rays or cells of their own.
    apart = detail.square().mean().item()
    assert loss_of(torch.arange(16).int()) == pytest.approx(apart)
    positions = positions.clone()
    positions[1::2, 0] += 0.1
    assert loss_of(rays, positions) == pytest.approx(apart)


@pytest.mark.parametrize("kind", [{"single_level": True}, {"level_interpolation": "none"}], ids=str)
def test_without_a_second_head_there_is_nothing_to_agree_on(kind):
    assert consistency_of(tiny_field(**kind), *ray_samples()).item() == 0.0


def test_samples_on_the_finest_level_have_no_finer_head():
    positions, rays, _ = ray_samples()
    assert consistency_of(tiny_field(), positions, rays, torch.full((60,), 3.0)).item() == 0.0


# ---- distortion -------------------------------------------------------------------------------


def naive_distortion(weights, samples):
    """Mip-NeRF 360, eq. 15, as the double sum that it is."""
    total = weights.new_zeros(())
    middles = (samples.t_starts + samples.t_ends) / 2
    for first, count in samples.packed_info.tolist():
        for i in range(first, first + count):
            length = samples.t_ends[i] - samples.t_starts[i]
            total = total + weights[i] ** 2 * length / 3
            for j in range(first, first + count):
                total = total + weights[i] * weights[j] * (middles[i] - middles[j]).abs()
    return total / len(samples.packed_info)


@pytest.mark.parametrize("counts", [[6, 0, 1, 9], [0, 5], [12]], ids=str)
def test_distortion_is_the_double_sum(counts):
    samples = packed(counts, seeded(), torch.float64)
    weights = torch.rand(sum(counts), generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(distortion(weights, samples), naive_distortion(weights, samples))


def test_gradient_of_distortion():
    samples = packed([4, 0, 1, 5], seeded(), torch.float64)
    weights = torch.rand(10, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: distortion(w, samples), (weights,))


def test_distortion_keeps_its_digits_over_many_rays_in_float32():
    counts = [50] * 400
    samples = packed(counts, seeded())
    samples = samples._replace(t_starts=samples.t_starts + 100, t_ends=samples.t_ends + 100)
    weights = torch.rand(20_000, generator=seeded(1)) / 50
    as_double = Samples(samples[0].double(), samples[1].double(), *samples[2:])
    loss = distortion(weights, samples)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(distortion(weights.double(), as_double).item(), rel=1e-5)


def test_distortion_of_no_samples_is_0():
    nothing = torch.empty(0)
    samples = Samples(nothing, nothing, nothing.int(), torch.zeros(3, 2, dtype=torch.int32))
    weights = torch.empty(0, requires_grad=True)
    loss = distortion(weights, samples)
    loss.backward()
    assert loss.item() == 0.0


# ---- table energy -----------------------------------------------------------------------------


def test_table_energy_sums_the_mean_square_of_each_level():
    table = torch.tensor([[1.0, -1.0], [3.0, 1.0], [2.0, 0.0], [0.0, 0.0], [0.0, 4.0]])
    energy = table_energy(table, (2, 3))
    assert energy.item() == pytest.approx((1 + 1 + 9 + 1) / 4 + (4 + 16) / 6)
    table = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: table_energy(x, (2, 3)), (table,))


# ---- proposals --------------------------------------------------------------------------------


def histogram(num_rays, num_bins, seed, dtype=torch.float64):
    generator = seeded(seed)
    borders = torch.rand(num_rays, num_bins + 1, generator=generator, dtype=dtype).sort(-1).values
    borders = (borders - borders[:, :1]) / (borders[:, -1:] - borders[:, :1])
    weights = torch.rand(num_rays, num_bins, generator=generator, dtype=dtype)
    return Histogram(borders, 0.9 * weights / weights.sum(-1, keepdim=True))


def test_the_proposal_loss_is_what_the_bound_lacks():
    fine, found = histogram(6, 9, 0), histogram(6, 5, 1)
    total = 0.0
    for ray in range(6):
        for i, weight in enumerate(fine.weights[ray].tolist()):
            low, high = fine.borders[ray, i : i + 2].tolist()
            edges = found.borders[ray].tolist()
            bound = sum(
                w
                for w, a, b in zip(found.weights[ray].tolist(), edges, edges[1:], strict=False)
                if a < high and b > low
            )
            total += max(0.0, weight - bound) ** 2 / (weight + 1e-5) / 6
    assert float(proposal_loss(*fine, found)) == pytest.approx(total, rel=1e-9)
    assert total > 0


def test_a_histogram_that_bounds_the_weights_costs_nothing():
    fine = histogram(6, 12, 0)
    coarse = Histogram(fine.borders[:, ::3], fine.weights.view(6, 4, 3).sum(-1))
    assert float(proposal_loss(*fine, coarse)) == 0


def test_the_proposal_loss_pulls_up_what_is_too_low():
    fine, found = histogram(4, 9, 0), histogram(4, 5, 1)
    weights = found.weights.clone().requires_grad_()
    proposal_loss(*fine, found._replace(weights=weights)).backward()
    assert (weights.grad <= 0).all()
    assert (weights.grad < 0).any()
    few = found._replace(weights=0.3 * found.weights)
    assert torch.autograd.gradcheck(
        lambda w: proposal_loss(*fine, few._replace(weights=w)), few.weights.requires_grad_()
    )


def test_decay_of_weights_leaves_the_field_that_proposes_to_its_own_lessons():
    model = tiny_model(sampler="proposal", proposal_resolution=64)
    render = SimpleNamespace(rgb=torch.zeros(2, 3), acc=torch.ones(2), depth=torch.ones(2))
    weights = loss_inputs(model, render, torch.zeros(3), 0.5)["networks"]
    own = {
        id(p) for part in (model.field.heads, model.field.color_heads) for p in part.parameters()
    }
    assert {id(weight) for weight in weights} == own
