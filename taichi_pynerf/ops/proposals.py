"""Where the samples of rays lie in the field, from the borders of their intervals."""

import torch

from taichi_pynerf.kernels.proposals import interval_middles_kernel
from taichi_pynerf.ops.bridge import check_dtype, check_shape, taichi_dtype


@torch.no_grad()
def interval_middles(
    rays_o: torch.Tensor,
    rays_d: torch.Tensor,
    borders: torch.Tensor,
    size: float,
    unbounded: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Field coordinates of the middles of intervals, and how long these are to the field.

    Args:
        rays_o, rays_d: [N, 3] in unit coordinates, t in world units.
        borders: [N, S + 1] ascending, in the scene box's spacing.
        size: of the scene box, world units.
        unbounded: whether space is contracted around the box; else it ends at the box.

    Returns:
        [N, S, 3] positions; [N, S] lengths in world units, of an unbounded scene in sizes of what
        is around (`SceneBox.closeness`). Neither is differentiable.
    """
    num_rays = rays_o.shape[0]
    for name, tensor, shape in (
        ("rays_o", rays_o, (None, 3)),
        ("rays_d", rays_d, (num_rays, 3)),
        ("borders", borders, (num_rays, None)),
    ):
        check_shape(name, tensor, shape)
        check_dtype(name, tensor, rays_o.dtype)
    lengths = borders.new_empty(num_rays, borders.shape[1] - 1)
    positions = borders.new_empty(*lengths.shape, 3)
    if lengths.numel():
        arrays = (x.detach().contiguous() for x in (rays_o, rays_d, borders))
        interval_middles_kernel(unbounded, taichi_dtype(rays_o))(*arrays, size, positions, lengths)
    return positions, lengths
