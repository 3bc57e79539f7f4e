"""March rays through an occupancy grid into packed samples."""

from typing import NamedTuple

import torch
from torch.nn.functional import max_pool3d

from taichi_pynerf.kernels.ray_march import ray_march_kernels
from taichi_pynerf.ops.bridge import check_dtype, check_shape
from taichi_pynerf.ops.residence import device_memory

BLOCK = 8  # greatest side of a block, cells


class Samples(NamedTuple):
    """Intervals along rays, packed: those of ray `r` are `packed_info[r] = (first, count)`."""

    t_starts: torch.Tensor
    t_ends: torch.Tensor
    ray_indices: torch.Tensor
    packed_info: torch.Tensor


@torch.no_grad()
def block_occupancy(occupied: torch.Tensor) -> torch.Tensor:
    """uint8 [K, B, B, B]: which blocks of cells uint8 [K, G, G, G] contain an occupied one.

    Empty blocks are skipped as a whole.
    """
    block = block_size(*occupied.shape[:2])
    pooled = max_pool3d(occupied.unsqueeze(1).float(), block, ceil_mode=True)
    return pooled.squeeze(1).to(torch.uint8)


def block_size(num_cascades: int, resolution: int) -> int:
    """Side of a block, cells. A block must not straddle the border of the next finer cascade."""
    return BLOCK if num_cascades == 1 or resolution % (4 * BLOCK) == 0 else 1


@torch.no_grad()
def march_rays(
    rays_o: torch.Tensor,
    rays_d: torch.Tensor,
    jitter: torch.Tensor,
    bounds: torch.Tensor,
    occupied: torch.Tensor,
    step_size: float,
    cone_angle: float = 0.0,
    max_samples: int = 1024,
    blocks: torch.Tensor | None = None,
) -> tuple[Samples, torch.Tensor]:
    """Sample each ray in occupied cells of the occupancy grid (instant-ngp, appendix E).

    Args:
        rays_o: float32 [N, 3] origins in unit coordinates: cascade 0 of the grid is [0, 1]^3.
        rays_d: float32 [N, 3] directions in unit coordinates per unit of t.
        jitter: float32 [N] in [0, 1): offset of the first step, in steps.
        bounds: float32 [N, 2] least and greatest t.
        occupied: uint8 [K, G, G, G], cascade k covering the cube of side 2^k around the centre.
            With K > 1, G must be divisible by 4, so that cells of one cascade nest in the next.
        step_size: length of the least step, in units of t.
        cone_angle: steps grow as `t * cone_angle` above the least; 0 keeps them constant.
        max_samples: greatest number of samples of a ray, at which its march stops.
        blocks: `block_occupancy(occupied)`, if already computed.

    Returns:
        The samples, in ray order, with t ascending within each ray; and t_next float32 [N], where
        the march of each ray stopped. Marching on from there (jitter 0) continues the same lattice.
    """
    num_rays = rays_o.shape[0]
    check_shape("rays_o", rays_o, (None, 3))
    check_shape("rays_d", rays_d, (num_rays, 3))
    check_shape("jitter", jitter, (num_rays,))
    check_shape("bounds", bounds, (num_rays, 2))
    check_shape("occupied", occupied, (None, None, None, None))
    check_dtype("occupied", occupied, torch.uint8)
    num_cascades, resolution = occupied.shape[:2]
    check_shape("occupied", occupied, (num_cascades, resolution, resolution, resolution))
    if num_cascades > 1 and resolution % 4:
        raise ValueError(f"with cascades the resolution must divide by 4, got {resolution}")
    for name, tensor in (
        ("rays_o", rays_o),
        ("rays_d", rays_d),
        ("jitter", jitter),
        ("bounds", bounds),
    ):
        check_dtype(name, tensor, torch.float32)
    if step_size <= 0:
        raise ValueError(f"step_size must be positive, got {step_size}")

    device = rays_o.device
    blocks = block_occupancy(occupied) if blocks is None else blocks
    block = block_size(num_cascades, resolution)
    side = -(-resolution // block)
    check_shape("blocks", blocks, (num_cascades, side, side, side))
    check_dtype("blocks", blocks, torch.uint8)
    kernels = ray_march_kernels(resolution, num_cascades, block)
    packed_info = torch.zeros(num_rays, 2, dtype=torch.int32, device=device)
    t_first = torch.empty(num_rays, dtype=torch.float32, device=device)
    t_next = torch.empty_like(t_first)
    rays_o, rays_d, jitter, bounds = (
        x.detach().contiguous() for x in (rays_o, rays_d, jitter, bounds)
    )
    common = [
        bounds,
        *(device_memory(x.contiguous()) for x in (occupied, blocks)),
        cone_angle,
        step_size,
    ]
    num_samples = 0
    if num_rays:
        kernels.count(rays_o, rays_d, jitter, *common, max_samples, packed_info, t_first, t_next)
        ends = packed_info[:, 1].cumsum(0, dtype=torch.int32)
        packed_info[:, 0] = ends - packed_info[:, 1]
        num_samples = int(ends[-1])
    t_starts = torch.empty(num_samples, dtype=torch.float32, device=device)
    t_ends = torch.empty_like(t_starts)
    ray_indices = torch.empty(num_samples, dtype=torch.int32, device=device)
    if num_samples:
        kernels.emit(rays_o, rays_d, *common, packed_info, t_first, t_starts, t_ends, ray_indices)
    return Samples(t_starts, t_ends, ray_indices, packed_info), t_next
