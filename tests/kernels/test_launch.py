"""Kernels launched past Taichi's looking over: what they give and what they refuse."""

import pytest
import taichi as ti
import torch
from taichi.lang import kernel_impl

from taichi_pynerf.kernels.launch import kernel

_vec3 = ti.types.vector(3, ti.f32)


def make_scale():
    @kernel
    def scale(
        rows: ti.types.ndarray(_vec3, 1),
        factors: ti.types.ndarray(ti.f32, 1),
        shift: ti.f32,
        first: ti.i32,
        out: ti.types.ndarray(_vec3, 1),
    ):
        """out = factors * rows + shift, from row `first` on."""
        for i in range(first, rows.shape[0]):
            out[i] = factors[i] * rows[i] + shift

    return scale


@pytest.fixture
def launches(monkeypatch):
    """The kernels that Taichi itself launched."""
    names = []
    launch = kernel_impl.Kernel.launch_kernel

    def noted(self, *args):
        names.append(self.func.__name__)
        return launch(self, *args)

    monkeypatch.setattr(kernel_impl.Kernel, "launch_kernel", noted)
    return names


def arguments(num_rows=5):
    generator = torch.Generator().manual_seed(num_rows)
    rows = torch.rand(num_rows, 3, generator=generator)
    return [rows, torch.rand(num_rows, generator=generator), 0.5, 0, torch.zeros(num_rows, 3)]


def test_every_launch_reads_its_own_arguments(launches):
    scale = make_scale()
    for num_rows, shift, first in [(5, 0.5, 0), (5, -1.0, 2), (7, 2, 1), (1, 0.25, 0), (3, 1, 3)]:
        rows, factors, _, _, out = arguments(num_rows)
        scale(rows, factors, shift, first, out)
        expected = factors.unsqueeze(-1) * rows + shift
        expected[:first] = 0
        torch.testing.assert_close(out, expected)
    assert launches == ["scale", "scale"]  # with a float shift, and with an int


def test_it_goes_by_the_name_and_text_of_its_function():
    scale = make_scale()
    assert scale.__name__ == "scale"
    assert scale.__doc__.startswith("out = factors")


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, torch.zeros(5, 2)),
        (0, torch.zeros(5)),
        (1, torch.zeros(5, 1)),
        (1, torch.zeros(5, dtype=torch.int32)),
        (0, torch.zeros(3, 5).t()),
        (2, "1"),
        (3, 1.5),
        (3, None),
        (1, [1.0] * 5),
    ],
)
def test_what_taichi_refuses_is_refused_after_good_launches_too(place, wrong):
    scale, good = make_scale(), arguments()
    scale(*good)
    scale(*good)
    kept = good[4].clone()
    bad = list(good)
    bad[place] = wrong
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        scale(*bad)
    torch.testing.assert_close(good[4], kept)
    scale(*good)
    torch.testing.assert_close(good[4], kept)


def test_an_argument_more_or_less_is_refused():
    scale, good = make_scale(), arguments()
    scale(*good)
    with pytest.raises(ti.TaichiSyntaxError, match="Too many"):
        scale(*good, 1)
    with pytest.raises(ti.TaichiSyntaxError, match="missing"):
        scale(*good[:-1])


def test_doubles_are_not_read_as_floats():
    scale, good = make_scale(), arguments()
    scale(*good)
    doubles = [good[0].double(), *good[1:4], torch.zeros_like(good[4])]
    scale(*doubles)  # Taichi compiles it for rows of doubles
    torch.testing.assert_close(doubles[4], good[4])


def test_taichis_own_arrays_are_taken(launches):
    scale = make_scale()
    tensors = arguments()
    for shift in (0.5, 1.5):
        tensors[2] = shift
        scale(*tensors)
        arrays = []
        for tensor in tensors:
            if isinstance(tensor, torch.Tensor):
                is_rows = tensor.dim() == 2
                array = ti.Vector.ndarray(3, ti.f32, 5) if is_rows else ti.ndarray(ti.f32, 5)
                array.from_numpy(tensor.numpy())
                tensor = array
            arrays.append(tensor)
        scale(*arrays)
        torch.testing.assert_close(torch.from_numpy(arrays[4].to_numpy()), tensors[4])
    assert launches.count("scale") == 2  # one for tensors, one for arrays


def test_tensors_that_want_gradients_and_derivatives_are_taichis(launches):
    scale = make_scale()
    rows, factors, shift, first, out = arguments()
    scale(rows, factors, shift, first, out)
    rows.requires_grad_()
    out.requires_grad_()
    for _ in range(2):
        scale(rows, factors, shift, first, out)
    assert launches.count("scale") == 3
    rows.grad, out.grad = torch.zeros(5, 3), torch.ones(5, 3)
    scale.grad(rows, factors, shift, first, out)
    torch.testing.assert_close(rows.grad, factors.unsqueeze(-1).expand(5, 3))
