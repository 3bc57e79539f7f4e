"""Ops have only first derivatives: asking for second ones is an error, and does not give zeros."""

import pytest
import torch

from taichi_pynerf.ops.compositing import composite
from taichi_pynerf.ops.hash_grid import HashGridSpec, hash_encode
from taichi_pynerf.ops.spherical_harmonics import spherical_harmonics

SPEC = HashGridSpec(resolutions=(4, 8), features_per_level=2, hash_table_size=2**10)


def encode_random(generator, **options):
    positions = torch.rand(20, 3, generator=generator, requires_grad=True)
    table = torch.rand(SPEC.num_entries, 2, generator=generator, requires_grad=True)
    return hash_encode(positions, table, SPEC, **options), positions, table


def harmonics_of_random(generator, **options):
    dirs = torch.randn(20, 3, generator=generator)
    dirs = torch.nn.functional.normalize(dirs, dim=-1).requires_grad_()
    return spherical_harmonics(dirs, **options), dirs, dirs


def composite_random(generator, **options):
    sigmas = torch.rand(20, generator=generator, requires_grad=True)
    rgbs = torch.rand(20, 3, generator=generator, requires_grad=True)
    t = torch.arange(20) / 10
    packed_info = torch.tensor([[0, 8], [8, 12]], dtype=torch.int32)
    return composite(sigmas, rgbs, t, t + 0.1, packed_info, **options).rgb, sigmas, rgbs


OPS = {
    "HashEncode": encode_random,
    "SphericalHarmonics": harmonics_of_random,
    "Composite": composite_random,
}


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("weighted", [False, True], ids=["sum", "weighted sum"])
def test_a_loss_on_a_gradient_is_refused(generator, name, weighted, use_autodiff):
    out, x, other = OPS[name](generator, use_autodiff=use_autodiff)
    weights = torch.rand(out.shape, generator=generator, requires_grad=weighted)
    (gradient,) = torch.autograd.grad((out * weights).sum(), x, create_graph=True)
    eikonal = (gradient.norm(dim=-1) - 1).square().mean()
    # Beside another term it would go unnoticed that this one teaches nothing.
    with pytest.raises(NotImplementedError, match=f"{name} has no second derivative"):
        (other.square().mean() + eikonal).backward()


@pytest.mark.parametrize("name", OPS)
def test_a_graph_of_the_gradient_does_not_change_it(generator, name):
    out, x, _ = OPS[name](generator)
    (plain,) = torch.autograd.grad(out.square().sum(), x, retain_graph=True)
    (with_graph,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    assert not plain.requires_grad
    assert with_graph.requires_grad
    assert torch.equal(plain, with_graph)
