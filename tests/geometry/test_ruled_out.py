import torch

from taichi_pynerf.geometry.ruled_out import RESOLUTION, RuledOut


def test_densities_are_0_in_its_cells_and_kept_elsewhere():
    ruled_out = RuledOut(unbounded=True)
    assert not ruled_out.has_cells
    cells = torch.rand(RESOLUTION**3, generator=torch.Generator().manual_seed(0)) < 0.3
    ruled_out.rule_out(cells)
    assert ruled_out.has_cells
    generator = torch.Generator().manual_seed(1)
    positions = torch.rand(500, 3, generator=generator)
    positions[0], positions[1] = 0.0, 1.0  # the corners belong to the first and the last cell
    sigmas = torch.rand(500, generator=generator, requires_grad=True)
    found = ruled_out.leave(sigmas, positions)
    g = (positions * RESOLUTION).long().clamp_max(RESOLUTION - 1)
    inside = cells.view([RESOLUTION] * 3)[g.unbind(-1)]
    assert inside.any()
    assert torch.equal(found, torch.where(inside, 0.0, sigmas))
    found.sum().backward()
    assert torch.equal(sigmas.grad, (~inside).float())


def test_a_bounded_scene_has_none():
    ruled_out = RuledOut(unbounded=False)
    sigmas = torch.ones(4)
    assert ruled_out.leave(sigmas, torch.rand(4, 3)) is sigmas
    assert not ruled_out.has_cells
