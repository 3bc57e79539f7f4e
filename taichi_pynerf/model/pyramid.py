"""The pyramid: the footprint of a sample, the levels that it uses, and their blend.

PyNeRF (Turki et al., NeurIPS 2023, section 3). Level 0 is the coarsest. A pixel of area `a` at
unit distance along its ray covers, at distance t, a square of width w = sqrt(a) t. Its level is

    level = (L - 1) - log_s(w / cell_width(L - 1)),    clamped to [0, L - 1]

So a footprint as wide as a cell of level l has level l, and a larger one has a coarser level.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch

from taichi_pynerf.geometry.constants import constant

# The pixel of an 800 x 800 image with a 40 degree field of view, as in the Blender scenes. Area at
# unit distance.
DEFAULT_PIXEL_AREA = (2 * math.tan(math.radians(20.0)) / 800) ** 2


def create_pyramid_hierarchy(
    num_levels: int = 8,
    base_resolution: int = 16,
    scale_factor: float = 2.0,
    max_resolution: int = 2048,
) -> list[int]:
    """The resolutions of the levels, coarsest first: `base_resolution * scale_factor**l`.

    The list ends early, before the first resolution that would exceed `max_resolution`. Capping it
    instead would give two levels of one resolution, which would be the same level.

    Returns:
        Cells across the scene box, one number per level, strictly ascending.

    Raises:
        ValueError: a size below 1, a scale factor not above 1, or one too small to grow.

    Example:
        >>> create_pyramid_hierarchy(6, base_resolution=32, scale_factor=1.5, max_resolution=1024)
        [32, 48, 72, 108, 162, 243]
    """
    if num_levels < 1 or base_resolution < 1:
        raise ValueError("num_levels and base_resolution must be at least 1")
    if not scale_factor > 1:
        raise ValueError(f"scale_factor must be above 1, got {scale_factor}")
    if max_resolution < base_resolution:
        raise ValueError(
            f"max_resolution ({max_resolution}) is below base_resolution ({base_resolution})"
        )
    resolutions = [base_resolution]
    while len(resolutions) < num_levels:
        finer = base_resolution * scale_factor ** len(resolutions)
        if finer >= max_resolution + 1:
            break
        if math.floor(finer) <= resolutions[-1]:
            raise ValueError(f"scale_factor {scale_factor} is too small to give a new resolution")
        resolutions.append(math.floor(finer))
    return resolutions


def compute_sample_area(
    rays_o: torch.Tensor,
    rays_d: torch.Tensor,
    z_vals: torch.Tensor,
    pixel_areas: torch.Tensor | float = DEFAULT_PIXEL_AREA,
) -> torch.Tensor:
    """The area that a ray's pixel covers at each sample, perpendicular to the ray.

    A pixel's rays form a cone with its tip at the ray's origin. At z the cone is z |rays_d| world
    units from its tip, so area = pixel_area * (z |rays_d|)^2. The position of the tip in the world
    does not matter.

    Args:
        rays_o: [N, 3] origins, world units: the tips of the cones, where z is 0.
        rays_d: [N, 3] directions of any length; z is measured in units of it.
        z_vals: [N, S] positions along the rays: sample s is at rays_o + z_vals[:, s] * rays_d.
        pixel_areas: [N] or a number: the pixel's area at unit distance. The default is the pixel
            of an 800 x 800 image with a 40 degree field of view.

    Returns:
        [N, S] areas, world units squared.

    Raises:
        ValueError: shapes that do not fit.
    """
    if rays_o.shape != rays_d.shape or rays_d.shape[-1] != 3:
        raise ValueError(
            f"rays_o and rays_d must both be [N, 3], got {list(rays_o.shape)} and "
            f"{list(rays_d.shape)}"
        )
    if z_vals.shape[:-1] != rays_d.shape[:-1]:
        raise ValueError(f"z_vals must be [N, S] with N = {rays_d.shape[0]}")
    pixel_areas = torch.as_tensor(pixel_areas, dtype=z_vals.dtype, device=z_vals.device)
    distance = z_vals * rays_d.norm(dim=-1, keepdim=True)
    return pixel_areas.unsqueeze(-1) * distance.square()


def get_pyramid_level(
    sample_areas: torch.Tensor, level_resolutions: Sequence[int], box_size: float = 1.0
) -> torch.Tensor:
    """The continuous pyramid level of footprints.

    Between the resolutions of two levels it is linear in the logarithm of the width. For geometric
    resolutions this is the formula at the head of this file.

    Args:
        sample_areas: [...] areas, world units squared.
        level_resolutions: cells across the scene box per level, ascending.
        box_size: side of the scene box, world units.

    Returns:
        [...] levels in [0, L - 1]. 0 is the coarsest; larger areas give lower levels.
    """
    last = len(level_resolutions) - 1
    if last == 0:
        return torch.zeros_like(sample_areas)
    # log2 of box_size / sqrt(area), the resolution whose cells are as wide as the footprint
    wanted = math.log2(box_size) - 0.5 * sample_areas.clamp_min(1e-30).log2()
    logs = level_knots(level_resolutions)
    if is_geometric(level_resolutions):
        level = (wanted - logs[0]) * (last / (logs[-1] - logs[0]))
    else:
        knots = constant(tuple(logs), wanted)
        below = (torch.bucketize(wanted.detach(), knots) - 1).clamp(0, last - 1)
        level = below + (wanted - knots[below]) / (knots[below + 1] - knots[below])
    return level.clamp(0, last)


def is_geometric(level_resolutions: Sequence[int]) -> bool:
    """Whether two or more resolutions form a geometric sequence, apart from rounding."""
    steps = [math.log2(fine / coarse) for coarse, fine in pairwise(level_resolutions)]
    return max(steps) - min(steps) < 1e-2 * min(steps)


def level_knots(level_resolutions: Sequence[int]) -> list[float]:
    """The log2 of each level's resolution; spaced evenly if the sequence is nearly geometric."""
    logs = [math.log2(n) for n in level_resolutions]
    last = len(logs) - 1
    if last > 0 and is_geometric(level_resolutions):
        return [logs[0] + (logs[-1] - logs[0]) * l / last for l in range(last + 1)]
    return logs


def interpolate_pyramid_outputs(
    outputs: torch.Tensor | list[torch.Tensor], levels: torch.Tensor, mode: str = "linear"
) -> torch.Tensor:
    """Blend the outputs of all levels at each sample's continuous level.

    h = (1 - f) h_floor + f h_ceil with f the fraction of the level; "none" takes the nearest.

    Args:
        outputs: [L, N, C], or a list of L tensors [N, C].
        levels: [N] continuous levels in [0, L - 1].
        mode: "linear" or "none".

    Returns:
        [N, C]
    """
    if not torch.is_tensor(outputs):
        outputs = torch.stack(list(outputs))
    if mode not in ("linear", "none"):
        raise ValueError(f"mode must be 'linear' or 'none', got {mode!r}")
    floor, fraction = split_level(levels, outputs.shape[0], mode)
    rows = torch.arange(levels.shape[0], device=levels.device)
    ceil = (floor + 1).clamp_max(outputs.shape[0] - 1)
    f = fraction.unsqueeze(-1).to(outputs.dtype)
    return (1 - f) * outputs[floor, rows] + f * outputs[ceil, rows]


def split_level(
    levels: torch.Tensor, num_levels: int, mode: str = "linear"
) -> tuple[torch.Tensor, torch.Tensor]:
    """The lower of a level's two heads, int64, and the share f in [0, 1) of the upper one.

    With mode "none" the nearest head gets the whole share: f = 0.
    """
    levels = levels.clamp(0, num_levels - 1)
    if mode == "none":
        return levels.round().long(), torch.zeros_like(levels)
    floor = levels.floor()
    return floor.long(), levels - floor
