"""Where the samples of rays should fall, as a small density field says."""

import torch

from taichi_pynerf.kernels.proposal_rounds import SmallField, proposal_rounds_kernel
from taichi_pynerf.ops.bridge import check_dtype, check_shape, taichi_dtype
from taichi_pynerf.ops.resampling import PADDING
from taichi_pynerf.ops.residence import device_memory

__all__ = ["SmallField", "proposal_rounds"]


@torch.no_grad()
def proposal_rounds(
    rays_o: torch.Tensor,
    rays_d: torch.Tensor,
    ends: torch.Tensor,
    offsets: torch.Tensor,
    table: torch.Tensor,
    inner: torch.Tensor,
    outer: torch.Tensor,
    field: SmallField,
    ruled_out: torch.Tensor | None = None,
    *,
    num_rounds: int,
    per_round: int,
    num_samples: int,
    turn: float,
    explore: float,
    size: float,
) -> torch.Tensor:
    """Ask a small field along rays in rounds, and draw samples from what it found.

    Mip-NeRF 360 (Barron et al. 2022), section 3.1. Not differentiable.

    Args:
        rays_o, rays_d: [N, 3] in unit coordinates, t in world units.
        ends: [N, 2] of the rays, in the scene box's spacing.
        offsets: [N] in [0, 1): the place of a ray's borders within equal shares of its weight.
        table: [field.spec.num_entries, features_per_level] of the small field's grid.
        inner: [hidden_dim, F] and
        outer: [1, hidden_dim], the weights of its network; ReLU lies between them.
        field: its shape.
        ruled_out: uint8 [R^3], x slowest, 1 in cells of the field's cube where nothing is; None if
            there are none.
        num_rounds: rounds, at least 1.
        per_round: intervals of a ray in a round, at least 2.
        num_samples: S, intervals of a ray in the end, at least 2.
        turn: added to the offsets from round to round, modulo 1.
        explore: share of the borders that fall evenly on the whole ray.
        size: of the scene box, world units.

    Returns:
        [N, S + 1] ascending borders in the box's spacing; the first and the last are `ends`.

    Raises:
        ValueError: a wrong shape or type.
    """
    num_rays, dtype = rays_o.shape[0], rays_o.dtype
    spec = field.spec
    for name, tensor, shape in (
        ("rays_o", rays_o, (None, 3)),
        ("rays_d", rays_d, (num_rays, 3)),
        ("ends", ends, (num_rays, 2)),
        ("offsets", offsets, (num_rays,)),
        ("table", table, (spec.num_entries, spec.features_per_level)),
        ("inner", inner, (field.hidden_dim, spec.num_features)),
        ("outer", outer, (1, field.hidden_dim)),
    ):
        check_shape(name, tensor, shape)
        check_dtype(name, tensor, dtype)
    for name, count, least in (
        ("num_rounds", num_rounds, 1), ("per_round", per_round, 2), ("num_samples", num_samples, 2),
    ):  # fmt: skip
        if count < least:
            raise ValueError(f"{name} must be at least {least}, got {count}")
    if ruled_out is None:
        ruled_out = torch.zeros(1, dtype=torch.uint8, device=rays_o.device)
    resolution = round(ruled_out.numel() ** (1 / 3))
    check_shape("ruled_out", ruled_out, (resolution**3,))
    check_dtype("ruled_out", ruled_out, torch.uint8)
    samples = rays_o.new_empty(num_rays, num_samples + 1)
    if num_rays:
        borders = rays_o.new_empty(num_rays, per_round + 1)
        weights = rays_o.new_empty(num_rays, per_round)
        rays = (x.detach().contiguous() for x in (rays_o, rays_d, ends, offsets))
        network = (x.detach().contiguous() for x in (inner.t(), outer))
        proposal_rounds_kernel(field, taichi_dtype(rays_o))(
            *rays, device_memory(table), *network, ruled_out, resolution, num_rounds,
            turn, explore, PADDING, size, borders, torch.empty_like(borders), weights, samples,
        )  # fmt: skip
    return samples
