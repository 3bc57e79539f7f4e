"""Depth losses: the distance that a ray's light comes from, against measured depth.

They compare distances s as `SceneBox.to_spacing` maps them. In an unbounded scene these are in box
sizes up to one box size, in disparity beyond: an error of a metre matters close by and not at the
horizon. In a bounded scene they are in world units. A target of 0 or NaN is unknown and counts for
nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Spacing = Callable[[torch.Tensor], torch.Tensor]

WIDTHS = (0.05, 0.01)
"""Half-width of the surface as a share of its distance, when training begins and when it ends."""


def l1_depth(
    outputs: dict, depth: torch.Tensor, weights: torch.Tensor, spacing: Spacing, progress: float
) -> torch.Tensor:
    """Mean of |s(mean distance) - s(target)|, over all N rays.

    Args:
        outputs: as `loss_inputs` gives them.
        depth: [N] targets along the rays, world units.
        weights: [N] weight of each pixel.
        spacing: ascending map of distances, such as `SceneBox.to_spacing`.
        progress: share of the training that is done; not used here.
    """
    known, target = _known(depth)
    errors = (spacing(outputs["depth"]) - spacing(target)).abs()
    return (weights * torch.where(known, errors, 0.0)).mean()


def urban_depth(
    outputs: dict, depth: torch.Tensor, weights: torch.Tensor, spacing: Spacing, progress: float
) -> torch.Tensor:
    """Light must come from near the measured distance, and nothing may stand in its way.

    After Urban Radiance Fields (Rematas et al. 2022, section 4.3), for packed samples: with W the
    sum of a ray's weights within e of the target z, the loss is

        (1 - W)^2 + sum of w_i^2 before z - e.

    What lies behind z + e gets less light as W grows, and needs no term. During training e shrinks
    from `WIDTHS[0]` to `WIDTHS[1]` of the distance, but never below the length of the ray's samples
    there.

    Args:
        outputs, depth, weights, progress: as in `l1_depth`.
        spacing: not used; widths are in proportion to the distance.
    """
    known, target = _known(depth)
    samples, w = outputs["render"].samples, outputs["render"].weights
    ray = samples.ray_indices.long()
    z = target.index_select(0, ray)
    share = WIDTHS[0] * (WIDTHS[1] / WIDTHS[0]) ** progress
    width = torch.maximum(share * z, samples.t_ends - samples.t_starts)
    middle = (samples.t_starts + samples.t_ends) / 2
    offset = middle - z
    on, before = offset.abs() <= width, offset < -width
    zeros = torch.zeros_like(target, dtype=w.dtype)
    hit = zeros.index_add(0, ray, torch.where(on, w, 0.0))
    in_the_way = zeros.index_add(0, ray, torch.where(before, w.square(), 0.0))
    errors = (1 - hit).square() + in_the_way
    return (weights * torch.where(known, errors, 0.0)).mean()


def _known(depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which targets are known, and the targets with a harmless number in place of the others."""
    known = depth > 0  # not NaN either
    return known & depth.isfinite(), torch.where(known & depth.isfinite(), depth, 1.0)


DEPTH_LOSSES = {"urban": urban_depth, "l1": l1_depth}
