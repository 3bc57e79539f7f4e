"""Direct launches of kernels: their results, and the arguments that they refuse."""

from types import SimpleNamespace

import pytest
import taichi as ti
import torch
from taichi.lang import kernel_impl

from taichi_pynerf.errors import Notice
from taichi_pynerf.kernels import launch
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
    launch_kernel = kernel_impl.Kernel.launch_kernel

    def noted(self, *args):
        names.append(self.func.__name__)
        return launch_kernel(self, *args)

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


# ---- without Taichi's private parts -----------------------------------------------------------


class Lacking:
    """Stands in for an object of Taichi's that lacks a part, or has a changed one."""

    def __init__(self, whole, lost=None, **changed):
        self.__dict__.update(_whole=whole, _lost=lost, **changed)

    def __getattr__(self, name):
        if name == self._lost:
            raise AttributeError(f"no {name} here")
        return getattr(self._whole, name)

    def __call__(self, *args):
        return self._whole(*args)


def without_part_of_kernels(monkeypatch, name):
    make = ti.kernel
    monkeypatch.setattr(launch.ti, "kernel", lambda function: Lacking(make(function), name))


def without_part_of_primals(monkeypatch, name):
    def lacking(function, make=ti.kernel):
        whole = make(function)
        return Lacking(whole, _primal=Lacking(whole._primal, name))

    monkeypatch.setattr(launch.ti, "kernel", lacking)


def with_another_program(monkeypatch, lost=None, **changed):
    program = Lacking(kernel_impl.impl.get_runtime().prog, lost, **changed)
    runtime = SimpleNamespace(prog=program)
    monkeypatch.setattr(launch, "impl", SimpleNamespace(get_runtime=lambda: runtime))


def takes_other_arguments():
    raise AssertionError("not to be called without arguments")


BREAKS = {
    "no impl": lambda m: m.setattr(launch, "impl", None),
    "no _primal": lambda m: without_part_of_kernels(m, "_primal"),
    "no arguments": lambda m: without_part_of_primals(m, "arguments"),
    "no compiled_kernels": lambda m: without_part_of_primals(m, "compiled_kernels"),
    "no ensure_compiled": lambda m: without_part_of_primals(m, "ensure_compiled"),
    "no config": lambda m: with_another_program(m, "config"),
    "no get_device_caps": lambda m: with_another_program(m, "get_device_caps"),
    "no compile_kernel": lambda m: with_another_program(m, "compile_kernel"),
    "no launch_kernel": lambda m: with_another_program(m, "launch_kernel"),
    "another launch_kernel": lambda m: with_another_program(
        m, launch_kernel=takes_other_arguments
    ),
}  # fmt: skip


def assert_right_by_taichi(scale, launches):
    for num_rows in (5, 3, 4):
        rows, factors, shift, first, out = arguments(num_rows)
        scale(rows, factors, shift, first, out)
        torch.testing.assert_close(out, factors.unsqueeze(-1) * rows + shift)
    assert launches == ["scale"] * 3
    rows, factors, shift, first, out = arguments()
    rows.grad, out.grad = torch.zeros(5, 3), torch.ones(5, 3)
    scale.grad(rows.requires_grad_(), factors, shift, first, out.requires_grad_())
    torch.testing.assert_close(rows.grad, factors.unsqueeze(-1).expand(5, 3))


@pytest.mark.parametrize("part", BREAKS)
def test_where_a_private_part_is_gone_launches_are_taichis(part, launches, monkeypatch):
    launch._tell.cache_clear()
    BREAKS[part](monkeypatch)
    with pytest.warns(Notice, match="Taichi .* is not as direct launches need it") as said:
        assert_right_by_taichi(make_scale(), launches)
    assert len(said) == 1


def test_direct_launches_can_be_turned_off(launches, monkeypatch, recwarn):
    monkeypatch.setenv("TAICHI_PYNERF_PLAIN_LAUNCH", "1")
    assert_right_by_taichi(make_scale(), launches)
    assert not [w for w in recwarn if issubclass(w.category, Notice)]
