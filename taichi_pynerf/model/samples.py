"""Samples along rays: stratified sampling, packing, and less gradient near cameras."""

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise

import torch

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.field import PyramidField
from taichi_pynerf.model.field_values import FieldCodes, FieldOutputs, KnownFeatures, known_of
from taichi_pynerf.ops.compositing import composite, transmittance
from taichi_pynerf.ops.ray_march import Samples
from taichi_pynerf.ops.resampling import sample_pdf

NO_LIMIT = 2**31 - 1
LOOKS = (8, 16)  # numbers of samples of a ray after which to check whether any light is left
SAMPLES_AT_ONCE = 2**17  # samples, about, in one call of a field


def draws_per_ray(config: PyNeRFConfig) -> int:
    """Random numbers that a training step draws per ray."""
    if config.sampler != "hierarchical":
        return 1
    coarse, fine = config.num_samples, config.num_importance
    return coarse - 1 + (coarse + fine if fine else 0)


def samples_per_ray(config: PyNeRFConfig) -> int:
    """Samples of a ray in rendering at most, of samplers that do not march."""
    if config.sampler == "proposal":
        return math.ceil(max(config.proposal_samples, config.fine_samples) / config.render_step)
    return config.num_samples + config.num_importance


def hierarchical_samples(
    rays: Rays,
    box: SceneBox,
    config: PyNeRFConfig,
    density: Callable[[Samples, torch.Tensor], torch.Tensor],
    generator: torch.Generator | None = None,
) -> Samples:
    """Stratified samples, and more where these found weight (NeRF, section 5.2).

    Args:
        rays: N rays.
        box: the scene box; strata are even in its spacing.
        config: `num_samples` strata per ray, and `num_importance` more samples.
        density: maps packed samples and distances [M] to densities [M].
        generator: jitters samples within their strata, by `draws_per_ray` numbers per ray drawn in
            one call; without it samples are centred.

    Returns:
        All samples, merged and packed, equally many for each ray.
    """
    num_rays, device = len(rays), rays.rays_o.device
    coarse, fine = config.num_samples, config.num_importance
    near, far = box.clip(rays.rays_o, rays.rays_d, rays.bounds).split(1, 1)
    near, far = box.to_spacing(near), box.to_spacing(far)
    steps = torch.linspace(0, 1, coarse + 1, device=device).repeat(num_rays, 1)
    in_stratum = torch.full((num_rays, coarse + fine), 0.5, device=device)
    if generator is not None:
        drawn = torch.rand(num_rays, draws_per_ray(config), generator=generator, device=device)
        steps[:, 1:-1] += (drawn[:, : coarse - 1] - 0.5) / coarse
        in_stratum = drawn[:, coarse - 1 :]

    def place(s: torch.Tensor) -> torch.Tensor:
        return box.from_spacing(near + (far - near) * s)

    borders = place(steps)
    if fine:
        samples = pack(borders)
        strata = torch.arange(coarse, device=device)
        with torch.no_grad():
            sigmas = density(samples, place((strata + in_stratum[:, :coarse]) / coarse).reshape(-1))
            weights = composite(
                sigmas, sigmas.new_zeros(len(sigmas), 3), samples.t_starts, samples.t_ends,
                samples.packed_info,
            ).weights  # fmt: skip
        u = (torch.arange(fine, device=device) + in_stratum[:, coarse:]) / fine
        found = sample_pdf(borders, weights.view(num_rays, coarse), u.contiguous())
        borders = torch.cat([borders, found], 1).sort(1).values
    return pack(borders)


def pack(borders: torch.Tensor) -> Samples:
    """Packed samples, S for each ray, from interval borders [N, S + 1]."""
    num_rays, per_ray = borders.shape[0], borders.shape[1] - 1
    index = torch.arange(num_rays, dtype=torch.int32, device=borders.device)
    return Samples(
        borders[:, :-1].reshape(-1),
        borders[:, 1:].reshape(-1),
        index.repeat_interleave(per_ray),
        torch.stack([index * per_ray, torch.full_like(index, per_ray)], -1),
    )


def keep_samples(samples: Samples, kept: torch.Tensor) -> Samples:
    """The samples with the ascending indices `kept`, packed again."""
    ray_indices = samples.ray_indices.index_select(0, kept)
    firsts = torch.searchsorted(kept, samples.packed_info[:, 0].long())
    counts = firsts.diff(append=torch.full_like(firsts[:1], len(kept)))
    packed_info = torch.stack([firsts, counts], -1).int()
    return Samples(
        samples.t_starts.index_select(0, kept),
        samples.t_ends.index_select(0, kept),
        ray_indices,
        packed_info,
    )


@torch.no_grad()
def seen_samples(
    field: PyramidField,
    samples: Samples,
    positions: torch.Tensor,
    levels: torch.Tensor,
    least: float,
) -> tuple[torch.Tensor, KnownFeatures | None]:
    """The samples that at least a share of the light reaches.

    Samples behind a surface change nothing: finding them by density costs less than training
    them. Each look evaluates a few samples per ray, and only where light is left.

    Args:
        field: gives the densities.
        samples: M packed samples.
        positions: [M, 3] of the samples in the field.
        levels: [M] their pyramid levels.
        least: the share, between 0 and 1.

    Returns:
        int64 [K] indices of these samples, and what the field already computed for them, if it
        keeps that.
    """
    device, first_of_ray = levels.device, samples.packed_info[:, 0]
    rank = torch.arange(len(levels), dtype=torch.int32, device=device)
    rank -= first_of_ray.index_select(0, samples.ray_indices)
    sigmas, trans = torch.zeros_like(levels), torch.ones_like(levels)
    rows = torch.empty(len(levels), dtype=torch.int64, device=device)
    features = None if field.one_pass else field.new_features(len(levels))
    found: list[FieldCodes] = []
    looks = LOOKS if device.type == "cpu" else ()  # elsewhere a look waits: one, at all samples
    for first, last in pairwise((0, *looks, NO_LIMIT)):
        asked = (rank >= first) & (rank < last) & (trans >= least)
        asked = asked.nonzero().squeeze(-1) if looks else torch.arange(len(rank), device=device)
        if len(asked) == 0:
            break
        given = positions.index_select(0, asked), levels.index_select(0, asked)
        if field.one_pass:
            codes = field.codes(*given)
            sigmas[asked] = codes.sigmas
            rows[asked] = codes.rows + sum(len(before.rows) for before in found)
            found.append(codes)
        else:
            keep = None if features is None else KnownFeatures(features, asked)
            sigmas[asked] = field.density(*given, keep)
        trans = transmittance(sigmas, samples.t_starts, samples.t_ends, samples.packed_info, least)
    seen = (trans >= least).nonzero().squeeze(-1)
    if found:
        return seen, known_of(found, rows.index_select(0, seen))
    return seen, None if features is None else KnownFeatures(features, seen)


def with_less_gradient_near_cameras(
    out: FieldOutputs, samples: Samples, distance: float
) -> FieldOutputs:
    """The same densities and colours, with smaller gradients nearer than `distance` to cameras."""
    shares = (samples.t_starts / distance).square().clamp_max(1)
    return dataclasses.replace(
        out,
        sigmas=scale_gradient(out.sigmas, shares),
        rgbs=scale_gradient(out.rgbs, shares.unsqueeze(-1)),
    )


def scale_gradient(x: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """x itself, with its gradient multiplied by `shares`, whose shape broadcasts to that of x.

    Close to a camera many samples of few views fall into little space. This space learns fastest
    and fills with floaters. Shares of t^2 even this out (Philip and Deschaintre, "Floaters No
    More: Radiance Field Gradient Scaling for Improved Near-Camera Training", 2023).
    """
    return x * shares + x.detach() * (1 - shares)
