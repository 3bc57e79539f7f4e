"""Models whose scene has holes, as after training."""

import torch


def thin_out(model):
    """Leave holes in the occupancy grid, and trained levels in a part of space."""
    generator = torch.Generator().manual_seed(3)
    grid = model.occupancy
    blobs = torch.rand(grid.num_cascades, *[4] * 3, generator=generator) < 0.7
    blobs = torch.nn.functional.interpolate(blobs[:, None].float(), grid.resolution)
    grid.restrict(blobs.bool().flatten())
    positions = torch.rand(4000, 3, generator=generator)
    levels = torch.rand(4000, generator=generator) * (model.field.num_heads - 1)
    model.trained_levels.record(positions, levels)
    if model.proposals is not None:
        encoder = model.proposals.encoder
        table = torch.randn(encoder.table.shape, generator=generator)
        encoder.load_state_dict({"table": table})
        with torch.no_grad():  # so that where samples fall depends on it
            model.proposals.network[-1].weight.mul_(6)
