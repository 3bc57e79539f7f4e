"""Samples along rays: stratified sampling, packing, leaving out hidden ones and some of little
weight, and less gradient near cameras.
"""

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

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
    if config.sampler == "occupancy":
        return 2 if config.thin_below else 1
    if config.sampler == "proposal":
        return 1
    coarse, fine = config.num_samples, config.num_importance
    return coarse - 1 + fine


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
        generator: jitters the borders of strata, and the other samples, by `draws_per_ray` numbers
            per ray drawn in one call; without it samples are centred.

    Returns:
        All samples, merged and packed, equally many for each ray.
    """
    num_rays, device = len(rays), rays.rays_o.device
    coarse, fine = config.num_samples, config.num_importance
    # Distances count as constants, also where the poses of cameras learn.
    near, far = box.clip(rays.rays_o.detach(), rays.rays_d.detach(), rays.bounds).split(1, 1)
    near, far = box.to_spacing(near), box.to_spacing(far)
    steps = torch.linspace(0, 1, coarse + 1, device=device).repeat(num_rays, 1)
    in_share = torch.full((num_rays, fine), 0.5, device=device)
    if generator is not None:
        drawn = torch.rand(num_rays, draws_per_ray(config), generator=generator, device=device)
        steps[:, 1:-1] += (drawn[:, : coarse - 1] - 0.5) / coarse
        in_share = drawn[:, coarse - 1 :]

    def place(s: torch.Tensor) -> torch.Tensor:
        return box.from_spacing(near + (far - near) * s)

    borders = place(steps)
    if fine:
        samples = pack(borders)
        middles = (steps[:, :-1] + steps[:, 1:]) / 2
        with torch.no_grad():
            sigmas = density(samples, place(middles).reshape(-1))
            weights = composite(
                sigmas, sigmas.new_zeros(len(sigmas), 3), samples.t_starts, samples.t_ends,
                samples.packed_info,
            ).weights  # fmt: skip
        u = (torch.arange(fine, device=device) + in_share) / fine
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


class Kept(NamedTuple):
    """The samples that a step trains.

    Attributes:
        indices: int64 [K] their indices, ascending.
        shares: [K] the share of the samples like each of them that are kept: it stands for
            1 / share of them (`density_for_all`). None if all are kept.
        known: what the field already computed for them, if it keeps that.
    """

    indices: torch.Tensor
    shares: torch.Tensor | None
    known: KnownFeatures | None


@torch.no_grad()
def samples_to_train(
    field: PyramidField,
    samples: Samples,
    positions: torch.Tensor,
    levels: torch.Tensor,
    least: float,
    thin_below: float = 0.0,
    offsets: torch.Tensor | None = None,
) -> Kept:
    """The samples that light reaches, and of those that hardly count only some.

    Samples behind a surface change nothing: finding them by density costs less than training
    them. Each look evaluates a few samples per ray, and only where light is left. What is left is
    thinned by weight: see `thinned`.

    Args:
        field: gives the densities.
        samples: M packed samples.
        positions: [M, 3] of the samples in the field.
        levels: [M] their pyramid levels.
        least: the share of the light that must reach a sample, between 0 and 1.
        thin_below: weight below which samples are thinned, above 0 if there are offsets.
        offsets: [N] numbers in [0, 1), one per ray: which of the thinned samples stay. None: all.
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
            rows[asked] = codes.rows + sum(len(before.codes) for before in found)
            found.append(codes)
        else:
            keep = None if features is None else KnownFeatures(features, asked)
            sigmas[asked] = field.density(*given, keep)
        trans = transmittance(sigmas, samples.t_starts, samples.t_ends, samples.packed_info, least)
    kept, shares = trans >= least, None
    if offsets is not None:
        alphas = torch.expm1((samples.t_starts - samples.t_ends) * sigmas).neg_()
        # In proportion to the weight, but never so few that one must be opaque to stand for all.
        shares = alphas * (trans / thin_below).clamp_(min=2)
        shares.clamp_(max=1).masked_fill_(~kept, 0)
        kept = thinned(shares, samples, offsets)
    index = kept.nonzero().squeeze(-1)
    known = None if features is None else KnownFeatures(features, index)
    if found:
        known = known_of(found, rows.index_select(0, index))
    return Kept(index, None if shares is None else shares.index_select(0, index), known)


def thinned(shares: torch.Tensor, samples: Samples, offsets: torch.Tensor) -> torch.Tensor:
    """bool [M]: which samples stay, if of samples like each a share is to stay.

    Most samples in the air around a surface have next to no weight, and their gradients are in
    proportion to it. Those that stay stand for the others (`density_for_all`), as in Russian
    roulette and delta tracking. The choice is systematic resampling (Kitagawa 1996): along a ray
    the shares are added up, and a sample stays where their sum passes a whole number. So a ray
    keeps as many samples as its shares add up to, to within one. Its colour and its gradients keep
    their means, but for products of the weights of samples that never stay together.

    Args:
        shares: [M] in [0, 1]. What is not a number stays, so that it is found.
        samples: the M packed samples of N rays.
        offsets: [N] numbers in [0, 1), evenly distributed, at which the sums begin.
    """
    if len(shares) == 0:
        return shares.bool()
    sums = shares.cumsum(0, dtype=torch.float64)
    first = samples.packed_info[:, 0].clamp(max=len(shares) - 1)  # of a ray without samples, too
    begin = offsets - (sums - shares).index_select(0, first)
    after = sums + begin.index_select(0, samples.ray_indices)
    return ~(after.floor() - (after - shares).floor() < 1)


def density_for_all(sigmas: torch.Tensor, shares: torch.Tensor, samples: Samples) -> torch.Tensor:
    """Densities [K] with which samples stand for those that `thinned` left out. Differentiable.

    A sample of which a share stays gets the opacity (1 - exp(-sigma d)) / share. Its mean over
    staying, with that opacity, and going, with none, is the opacity as it was.

    Args:
        sigmas: [K] densities of the samples.
        shares: [K] in (0, 1], no less than twice the opacity where below 1.
        samples: the K packed samples.
    """
    lengths = samples.t_ends - samples.t_starts
    some = shares < 1
    opacities = torch.expm1(-torch.where(some, sigmas * lengths, 0.0)) / shares
    return torch.where(some, -torch.log1p(opacities) / lengths, sigmas)


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
