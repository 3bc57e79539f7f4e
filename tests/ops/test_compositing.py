import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taichi_pynerf.ops.compositing import composite, transmittance
from taichi_pynerf.reference import compositing as reference

# Rays of no samples stand first, in the middle and last.
COUNTS = (0, 5, 1, 0, 64, 17, 3, 0)
DIFFERENTIABLE = ("rgb", "depth", "acc", "weights")


def pack(counts):
    counts = torch.tensor(counts, dtype=torch.int32)
    starts = counts.cumsum(0) - counts
    return torch.stack([starts, counts], dim=1).to(torch.int32)


def random_inputs(generator, counts=COUNTS, dtype=torch.float32):
    """Samples with gaps between them, some in front of an opaque one, some empty."""
    packed_info = pack(counts)
    num_samples = sum(counts)
    lengths = 0.02 + 0.1 * torch.rand(num_samples, generator=generator, dtype=dtype)
    gaps = 0.1 * torch.rand(num_samples, generator=generator, dtype=dtype)
    t_ends = 1 + (lengths + gaps).cumsum(0)
    t_starts = t_ends - lengths
    sigmas = torch.randn(num_samples, generator=generator, dtype=dtype).mul(1.5).exp()
    sigmas[::7] = 0
    rgbs = torch.rand(num_samples, 3, generator=generator, dtype=dtype)
    return sigmas, rgbs, t_starts, t_ends, packed_info


def random_cotangents(generator, outputs):
    return [
        torch.randn(output.shape, generator=generator, dtype=output.dtype) for output in outputs
    ]


def differentiate(function, inputs, cotangents, names=DIFFERENTIABLE, **options):
    """The named outputs, and their gradients to sigmas and rgbs, on leaves of their own."""
    sigmas, rgbs = (tensor.detach().clone().requires_grad_() for tensor in inputs[:2])
    composited = function(sigmas, rgbs, *inputs[2:], **options)
    outputs = [getattr(composited, name) for name in names]
    return outputs, torch.autograd.grad(outputs, (sigmas, rgbs), cotangents)


@pytest.mark.parametrize("early_stop_eps", [0.0, 0.2])
def test_values_and_gradients_match_twin(generator, use_autodiff, assert_matches, early_stop_eps):
    inputs = random_inputs(generator)
    values = reference.composite(*inputs, early_stop_eps)
    cotangents = random_cotangents(generator, values[: len(DIFFERENTIABLE)])
    actual, actual_grads = differentiate(
        composite, inputs, cotangents, early_stop_eps=early_stop_eps, use_autodiff=use_autodiff
    )
    expected, expected_grads = differentiate(
        reference.composite, inputs, cotangents, early_stop_eps=early_stop_eps
    )
    for result, twin in zip(actual, expected, strict=True):
        assert_matches(result, twin)
    for result, twin in zip(actual_grads, expected_grads, strict=True):
        assert_matches(result, twin)
    assert_matches(composite(*inputs, early_stop_eps, use_autodiff).trans, values.trans)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_of_each_output_alone(generator, use_autodiff, assert_matches, name):
    inputs = random_inputs(generator)
    output = getattr(reference.composite(*inputs), name)
    cotangents = random_cotangents(generator, [output])
    sigmas, rgbs = inputs[0].requires_grad_(), inputs[1].requires_grad_()
    grads = [
        torch.autograd.grad(
            getattr(composited, name), (sigmas, rgbs), cotangents, allow_unused=True
        )
        for composited in (
            composite(*inputs, use_autodiff=use_autodiff),
            reference.composite(*inputs),
        )
    ]
    for actual, expected, leaf in zip(*grads, (sigmas, rgbs), strict=True):
        # None stands for zero: only rgb depends on rgbs.
        expected = torch.zeros_like(leaf) if expected is None else expected
        assert_matches(torch.zeros_like(leaf) if actual is None else actual, expected)


@pytest.mark.float64
def test_gradcheck(generator, use_autodiff):
    sigmas, rgbs, *rest = random_inputs(generator, counts=(0, 4, 1, 6), dtype=torch.float64)

    def differentiable(sigmas, rgbs):
        composited = composite(sigmas, rgbs, *rest, use_autodiff=use_autodiff)
        return tuple(getattr(composited, name) for name in DIFFERENTIABLE)

    assert torch.autograd.gradcheck(
        differentiable, (sigmas.requires_grad_(), rgbs.requires_grad_())
    )


def test_transmittance_carries_no_gradient(generator, use_autodiff):
    sigmas, rgbs, *rest = random_inputs(generator)
    composited = composite(
        sigmas.requires_grad_(), rgbs.requires_grad_(), *rest, use_autodiff=use_autodiff
    )
    assert not composited.trans.requires_grad
    assert all(getattr(composited, name).requires_grad for name in DIFFERENTIABLE)


def test_transmittance_alone_is_that_of_compositing(generator, assert_matches):
    sigmas, rgbs, *borders = random_inputs(generator)
    expected = reference.composite(sigmas, rgbs, *borders).trans
    assert_matches(transmittance(sigmas, *borders), expected)
    least = 0.3
    followed = transmittance(sigmas.requires_grad_(), *borders, least)
    lit = expected >= least
    assert 0 < int(lit.sum()) < len(lit)
    assert_matches(followed[lit], expected[lit])
    assert (followed[~lit] < least).all()
    assert (followed[~lit] >= expected[~lit]).all()
    assert not followed.requires_grad


def test_transmittance_begins_with_the_light_that_there_is(generator, assert_matches):
    sigmas, rgbs, *borders = random_inputs(generator)
    light = torch.rand(len(COUNTS), generator=generator)
    expected = composite(sigmas, rgbs, *borders, initial_trans=light).trans
    assert_matches(transmittance(sigmas, *borders, initial_trans=light), expected)
    with pytest.raises(ValueError, match="initial_trans"):
        transmittance(sigmas, *borders, initial_trans=light[1:])


def test_transmittance_of_nothing():
    nothing = torch.zeros(0)
    assert transmittance(nothing, nothing, nothing, pack([0, 0])).shape == (0,)
    with pytest.raises(ValueError, match="t_ends"):
        transmittance(nothing, nothing, torch.zeros(1), pack([0, 0]))


def test_second_backward_gives_the_same_gradient(generator, use_autodiff):
    inputs = random_inputs(generator)
    leaves = inputs[0].requires_grad_(), inputs[1].requires_grad_()
    outputs = composite(*inputs, use_autodiff=use_autodiff)[: len(DIFFERENTIABLE)]
    cotangents = random_cotangents(generator, outputs)
    first = torch.autograd.grad(outputs, leaves, cotangents, retain_graph=True)
    second = torch.autograd.grad(outputs, leaves, cotangents)
    again = composite(*inputs, use_autodiff=use_autodiff)[: len(DIFFERENTIABLE)]
    third = torch.autograd.grad(again, leaves, cotangents)
    for one, two, three in zip(first, second, third, strict=True):
        assert one.abs().max() > 0
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_accumulating_twice_gives_exactly_twice(generator, use_autodiff):
    inputs = random_inputs(generator)
    sigmas, rgbs = inputs[0].requires_grad_(), inputs[1].requires_grad_()

    def accumulate():
        composited = composite(*inputs, use_autodiff=use_autodiff)
        (composited.rgb.square().sum() + composited.weights.square().sum()).backward()

    accumulate()
    once = sigmas.grad.clone(), rgbs.grad.clone()
    accumulate()
    assert all(grad.abs().max() > 0 for grad in once)
    assert torch.equal(sigmas.grad, 2 * once[0])
    assert torch.equal(rgbs.grad, 2 * once[1])


def test_backward_leaves_inputs_and_cotangents_alone(generator, use_autodiff):
    inputs = random_inputs(generator)
    cotangents = random_cotangents(generator, composite(*inputs)[: len(DIFFERENTIABLE)])
    before = [tensor.clone() for tensor in (*inputs, *cotangents)]
    differentiate(composite, inputs, cotangents, use_autodiff=use_autodiff)
    for now, then in zip((*inputs, *cotangents), before, strict=True):
        assert torch.equal(now, then)


def test_gradients_land_where_torch_puts_them_and_nowhere_else(generator, use_autodiff):
    """Taichi gives every leaf that it is handed a `.grad`; torch.autograd.grad gives none."""
    *leaves, packed_info = random_inputs(generator)
    for leaf in leaves:
        leaf.requires_grad_()
    composited = composite(*leaves, packed_info, use_autodiff=use_autodiff)
    outputs = composited[: len(DIFFERENTIABLE)]
    torch.autograd.grad(outputs, leaves[:2], random_cotangents(generator, outputs))
    assert all(leaf.grad is None for leaf in leaves)


def test_written_adjoint_does_not_depend_on_thread_timing(generator):
    inputs = random_inputs(generator, counts=(40,) * 500)
    cotangents = random_cotangents(generator, reference.composite(*inputs)[: len(DIFFERENTIABLE)])
    first = differentiate(composite, inputs, cotangents)
    for _ in range(3):
        again = differentiate(composite, inputs, cotangents)
        for group, other_group in zip(first, again, strict=True):
            for one, other in zip(group, other_group, strict=True):
                assert torch.equal(one, other)


def test_early_stop_cuts_the_tail_off(generator):
    inputs = random_inputs(generator, counts=(40,))
    whole = composite(*inputs)
    stopped = composite(*inputs, early_stop_eps=0.3)
    kept = whole.trans >= 0.3
    last = int(kept.sum()) - 1
    assert 0 < last < 39
    torch.testing.assert_close(stopped.weights[:last], whole.weights[:last])
    assert 0 < stopped.weights[last] < whole.weights[last]
    assert (stopped.weights[~kept] == 0).all()
    assert float(stopped.acc[0]) == pytest.approx(0.7)


def test_no_rounding_of_the_densities_makes_a_sample_of_an_ending_ray_appear():
    # After the first sample the light is just above and just below what a ray ends at.
    t_starts, eps = torch.arange(3.0), 1e-3
    rgbs = torch.tensor([[0.0], [1.0], [1.0]]).expand(3, 3)
    above, below = (
        composite(
            torch.tensor([-math.log(eps * (1 + shift)), 5.0, 5.0]),
            rgbs, t_starts, t_starts + 1, pack((3,)), early_stop_eps=eps,
        )
        for shift in (1e-4, -1e-4)
    )  # fmt: skip
    assert above.trans[1] > eps > below.trans[1]
    torch.testing.assert_close(above.rgb, below.rgb, rtol=0, atol=1e-6)
    torch.testing.assert_close(above.acc, below.acc, rtol=0, atol=1e-6)


def test_opaque_samples_give_finite_gradients(use_autodiff):
    sigmas = torch.tensor([1.0, 1e6, 1e6, 1.0], requires_grad=True)
    rgbs = torch.ones(4, 3, requires_grad=True)
    t_starts = torch.arange(4.0)
    composited = composite(
        sigmas, rgbs, t_starts, t_starts + 1, pack((4,)), use_autodiff=use_autodiff
    )
    assert float(composited.acc.detach()) == pytest.approx(1.0)
    (composited.rgb.sum() + composited.weights.square().sum() + composited.depth.sum()).backward()
    assert sigmas.grad.isfinite().all()
    assert rgbs.grad.isfinite().all()


def test_rays_in_any_order(generator, use_autodiff, assert_matches):
    sigmas, rgbs, t_starts, t_ends, packed_info = random_inputs(generator)
    order = torch.randperm(len(packed_info), generator=generator)
    ordered = composite(sigmas, rgbs, t_starts, t_ends, packed_info, use_autodiff=use_autodiff)
    shuffled = composite(
        sigmas, rgbs, t_starts, t_ends, packed_info[order], use_autodiff=use_autodiff
    )
    for name in ("rgb", "depth", "acc"):
        assert_matches(getattr(shuffled, name), getattr(ordered, name)[order])
    assert_matches(shuffled.weights, ordered.weights)


def test_non_contiguous_inputs(generator, use_autodiff, assert_matches):
    inputs = random_inputs(generator)
    strided = [torch.stack([tensor, tensor], dim=-1)[..., 0] for tensor in inputs]
    assert not any(tensor.is_contiguous() for tensor in strided)
    cotangents = random_cotangents(generator, composite(*inputs)[: len(DIFFERENTIABLE)])
    strided_cotangents = [torch.stack([tensor, tensor], dim=-1)[..., 0] for tensor in cotangents]
    strided_cotangents[0] = cotangents[0].T.contiguous().T
    results = []
    for arguments, grads in ((inputs, cotangents), (strided, strided_cotangents)):
        leaves = arguments[0].requires_grad_(), arguments[1].requires_grad_()
        outputs = composite(*arguments, use_autodiff=use_autodiff)[: len(DIFFERENTIABLE)]
        results.append((*outputs, *torch.autograd.grad(outputs, leaves, grads)))
    for dense, sparse in zip(*results, strict=True):
        assert_matches(sparse, dense)


def test_gradient_of_sums(generator, use_autodiff, assert_matches):
    """A sum sends one number of stride 0 backward for all the rays."""
    inputs = random_inputs(generator)
    leaves = inputs[0].requires_grad_(), inputs[1].requires_grad_()
    gradients = []
    for composited in (composite(*inputs, use_autodiff=use_autodiff), reference.composite(*inputs)):
        total = composited.rgb.sum() + composited.depth.sum() + composited.weights.sum()
        gradients.append(torch.autograd.grad(total, leaves))
    for actual, expected in zip(*gradients, strict=True):
        assert_matches(actual, expected)


def test_no_samples_and_no_rays(use_autodiff):
    for num_rays in (0, 3):
        sigmas = torch.zeros(0, requires_grad=True)
        rgbs = torch.zeros(0, 3, requires_grad=True)
        t_starts = t_ends = torch.zeros(0)
        packed_info = torch.zeros(num_rays, 2, dtype=torch.int32)
        composited = composite(
            sigmas, rgbs, t_starts, t_ends, packed_info, use_autodiff=use_autodiff
        )
        assert composited.rgb.shape == (num_rays, 3)
        assert composited.weights.shape == (0,)
        assert all((output == 0).all() for output in composited)
        (composited.rgb.sum() + composited.acc.sum()).backward()
        assert sigmas.grad.shape == (0,)
        assert rgbs.grad.shape == (0, 3)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (0, torch.zeros(9)),
        (0, torch.zeros(10, 1)),
        (0, torch.zeros(10, dtype=torch.int32)),
        (1, torch.zeros(10)),
        (1, torch.zeros(10, 4)),
        (1, torch.zeros(10, 3, dtype=torch.float64)),
        (2, torch.zeros(11)),
        (3, torch.zeros(10, dtype=torch.float64)),
        (4, torch.zeros(2, 3, dtype=torch.int32)),
        (4, torch.zeros(2, 2)),
    ],
)
def test_wrong_arguments(generator, argument, value):
    arguments = list(random_inputs(generator, counts=(4, 6)))
    arguments[argument] = value
    with pytest.raises(ValueError, match=r"must|expected"):
        composite(*arguments)


densities = st.lists(st.floats(0, 50), min_size=1, max_size=12)


def one_ray(sigmas, num_cuts=0):
    """A ray of touching intervals of length 0.1, each cut into `num_cuts + 1` equal parts."""
    num_parts = num_cuts + 1
    sigmas = torch.tensor(sigmas, dtype=torch.float64)
    rgbs = torch.stack([sigmas.cos(), sigmas.sin(), 0 * sigmas + 1], dim=-1).abs()
    edges = torch.linspace(0, 0.1 * len(sigmas), len(sigmas) * num_parts + 1, dtype=torch.float64)
    return (
        sigmas.repeat_interleave(num_parts),
        rgbs.repeat_interleave(num_parts, dim=0),
        edges[:-1],
        edges[1:],
        pack((len(sigmas) * num_parts,)),
    )


@settings(max_examples=25, deadline=None)
@given(densities)
@pytest.mark.float64
def test_weights_share_out_the_light_that_is_stopped(sigmas):
    inputs = one_ray(sigmas)
    composited = composite(*inputs)
    alphas = 1 - torch.exp(-inputs[0] * 0.1)
    assert (composited.weights >= 0).all()
    assert (composited.trans.diff() <= 0).all()
    expected = 1 - (1 - alphas).prod()
    torch.testing.assert_close(composited.acc[0], expected)
    torch.testing.assert_close(composited.weights.sum(), expected)


@settings(max_examples=25, deadline=None)
@given(densities, st.integers(1, 3))
@pytest.mark.float64
def test_cutting_intervals_changes_neither_colour_nor_opacity(sigmas, num_cuts):
    whole, cut = composite(*one_ray(sigmas)), composite(*one_ray(sigmas, num_cuts))
    torch.testing.assert_close(cut.rgb, whole.rgb)
    torch.testing.assert_close(cut.acc, whole.acc)
    parts = cut.weights.reshape(len(sigmas), num_cuts + 1)
    torch.testing.assert_close(parts.sum(dim=1), whole.weights)
