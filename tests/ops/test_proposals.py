import pytest
import torch

from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.ops.placement import interval_middles
from taichi_pynerf.reference import proposals as reference

SIZE = 3.0


def random_inputs(generator, num_rays=40, num_samples=16, dtype=torch.float32):
    rays_o = torch.rand(num_rays, 3, generator=generator, dtype=dtype)
    rays_d = torch.randn(num_rays, 3, generator=generator, dtype=dtype)
    rays_d = torch.nn.functional.normalize(rays_d, dim=-1) / SIZE
    borders = torch.rand(num_rays, num_samples + 1, generator=generator, dtype=dtype)
    return rays_o, rays_d, 0.98 * borders.sort(-1).values


@pytest.mark.parametrize("unbounded", [False, True])
@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.float64)]
)
def test_matches_twin(generator, assert_matches, dtype, unbounded):
    inputs = random_inputs(generator, dtype=dtype)
    found = interval_middles(*inputs, SIZE, unbounded)
    for ours, theirs in zip(
        found, reference.interval_middles(*inputs, SIZE, unbounded), strict=True
    ):
        assert_matches(ours, theirs)


@pytest.mark.parametrize("unbounded", [False, True])
def test_the_box_agrees(generator, assert_matches, unbounded):
    half = SIZE / 2
    box = SceneBox((-half, -half, -half, half, half, half), unbounded, num_cascades=5)
    rays_o, rays_d, borders = random_inputs(generator)
    positions, lengths = interval_middles(rays_o, rays_d, borders, SIZE, unbounded)
    t = box.from_spacing(borders)
    middles = ((t[:, 1:] + t[:, :-1]) / 2).unsqueeze(-1)
    expected = box.unit_to_field(rays_o.unsqueeze(1) + middles * rays_d.unsqueeze(1))
    assert_matches(positions, expected if unbounded else expected.clamp(0, 1))
    closeness = box.closeness(positions.view(-1, 3)).view_as(lengths) if unbounded else 1
    torch.testing.assert_close(lengths, t.diff(dim=-1) * closeness, rtol=1e-3, atol=1e-5)


def test_intervals_far_out_stay_finite(generator):
    rays_o, rays_d, _ = random_inputs(generator)
    borders = torch.linspace(0, 0.999, 33).repeat(len(rays_o), 1)
    positions, lengths = interval_middles(rays_o, rays_d, borders, SIZE, True)
    assert ((positions > 0) & (positions < 1)).all()
    assert (lengths > 0).all()
    assert lengths.isfinite().all()


def test_no_rays_and_strided_ones(generator, assert_matches):
    rays_o, rays_d, borders = random_inputs(generator)
    positions, lengths = interval_middles(rays_o[:0], rays_d[:0], borders[:0], SIZE, True)
    assert positions.shape == (0, 16, 3)
    assert lengths.shape == (0, 16)
    strided = [tensor.T.contiguous().T for tensor in (rays_o, rays_d, borders)]
    expected = interval_middles(rays_o, rays_d, borders, SIZE, True)
    for ours, theirs in zip(interval_middles(*strided, SIZE, True), expected, strict=True):
        assert_matches(ours, theirs)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (0, torch.zeros(5, 2)),
        (1, torch.zeros(4, 3)),
        (2, torch.zeros(4, 9)),
        (2, torch.zeros(5, 9, dtype=torch.float64)),
    ],
)
def test_what_does_not_fit_is_refused(argument, value):
    arguments = [torch.zeros(5, 3), torch.zeros(5, 3), torch.zeros(5, 9)]
    arguments[argument] = value
    with pytest.raises(ValueError, match="must"):
        interval_middles(*arguments, SIZE, True)
