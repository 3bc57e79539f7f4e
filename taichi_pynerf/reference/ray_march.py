"""Ray marching through an occupancy grid in plain torch: every step is taken and looked up."""

from typing import NamedTuple

import torch
from torch import Tensor


class Samples(NamedTuple):
    """Intervals along rays, packed: those of ray `r` are `packed_info[r] = (first, count)`."""

    t_starts: Tensor  # [M]
    t_ends: Tensor  # [M]
    ray_indices: Tensor  # int32 [M]
    packed_info: Tensor  # int32 [N, 2]


def is_occupied(positions: Tensor, occupied: Tensor) -> Tensor:
    """Look positions up in the finest cascade that holds them.

    Args:
        positions: [M, 3] in unit coordinates: cascade 0 is the cube [0, 1]^3.
        occupied: uint8 [K, G, G, G]; cascade k is a cube of side 2^k around the same centre.

    Returns:
        Whether the cell at each position is set, bool [M]. Outside of the outermost cascade the
        nearest of its cells counts.
    """
    num_cascades, resolution = occupied.shape[:2]
    from_centre = positions - 0.5
    reach = 2 * from_centre.abs().amax(dim=-1)  # 2^k on the surface of cascade k
    cascade = reach.log2().ceil().clamp(0, num_cascades - 1)
    within_cascade = from_centre / 2 ** cascade[:, None] + 0.5
    cell = (within_cascade * resolution).floor().clamp(0, resolution - 1)
    i, j, k = cell.long().unbind(-1)
    return occupied[cascade.long(), i, j, k] != 0


def enter_and_exit(
    rays_o: Tensor, rays_d: Tensor, bounds: Tensor, side: float
) -> tuple[Tensor, Tensor]:
    """Clip rays to a cube by the slab method (Kay and Kajiya 1986).

    Args:
        rays_o: [N, 3] in unit coordinates.
        rays_d: [N, 3].
        bounds: least and greatest t, [N, 2].
        side: side of the cube, which is centred like [0, 1]^3.

    Returns:
        t where each ray enters and leaves, [N] each; a ray that misses leaves before it enters.
    """
    # A ray parallel to a face practically never meets it.
    slope = torch.where(rays_d.abs() < 1e-12, 1e-12, rays_d)
    t_low = (0.5 - side / 2 - rays_o) / slope
    t_high = (0.5 + side / 2 - rays_o) / slope
    t_enter = torch.minimum(t_low, t_high).amax(dim=1)
    t_exit = torch.maximum(t_low, t_high).amin(dim=1)
    return t_enter.maximum(bounds[:, 0]), t_exit.minimum(bounds[:, 1])


@torch.no_grad()
def march_rays(
    rays_o: Tensor,
    rays_d: Tensor,
    jitter: Tensor,
    bounds: Tensor,
    occupied: Tensor,
    step_size: float,
    cone_angle: float = 0.0,
    max_samples: int = 1024,
) -> tuple[Samples, Tensor]:
    r"""Keep the steps along each ray whose midpoint lies in an occupied cell.

    .. math::
        t_0 = t_{enter} + jitter \cdot \Delta(t_{enter}), \quad t_{k+1} = t_k + \Delta(t_k), \quad
        \Delta(t) = clamp(t \cdot cone\_angle, step\_size, 2^{K-1} step\_size)

    The steps and the cascades of Instant-NGP (Müller et al. 2022, appendix E). No gradient.

    Args:
        rays_o: origins in unit coordinates, [N, 3].
        rays_d: directions in unit coordinates per unit of t, [N, 3].
        jitter: offset of the first step, in steps, in [0, 1), [N].
        bounds: least and greatest t, [N, 2].
        occupied: uint8 [K, G, G, G].
        step_size: length of the least step, in units of t.
        cone_angle: growth of the steps with t.
        max_samples: a ray ends after this many samples.

    Returns:
        The samples, sorted by ray, then by t; and the t at which each ray ended, [N].
    """
    outer_side = 2.0 ** (occupied.shape[0] - 1)

    def step_at(t: Tensor) -> Tensor:
        return (t * cone_angle).clamp(step_size, outer_side * step_size)

    t_enter, t_exit = enter_and_exit(rays_o, rays_d, bounds, outer_side)
    t = t_enter + jitter * step_at(t_enter)
    counts = torch.zeros_like(t, dtype=torch.int32)
    # One column per step, for all rays.
    starts, ends, kept = [t[:, None][:, :0]], [t[:, None][:, :0]], [counts[:, None][:, :0].bool()]
    marching = t < t_exit
    while marching.any():
        dt = step_at(t)
        midpoints = rays_o + (t + dt / 2)[:, None] * rays_d
        keep = marching & is_occupied(midpoints, occupied)
        starts.append(t[:, None])
        ends.append((t + dt)[:, None])
        kept.append(keep[:, None])
        counts += keep
        t = torch.where(marching, t + dt, t)
        marching = (t < t_exit) & (counts < max_samples)

    is_sample = torch.cat(kept, dim=1)
    packed_info = torch.stack([counts.cumsum(0) - counts, counts], dim=1).int()
    samples = Samples(
        t_starts=torch.cat(starts, dim=1)[is_sample],
        t_ends=torch.cat(ends, dim=1)[is_sample],
        ray_indices=is_sample.nonzero()[:, 0].int(),
        packed_info=packed_info,
    )
    return samples, t
