"""Colour maps of evenly rising lightness, for one number per pixel."""

import numpy as np
import torch

# From dark to light, evenly spaced in lightness (CIE L* 6 to 92), so that the order is visible in
# print and without colour vision. One ramp goes through blue, teal, green and yellow; the other,
# for errors, through purple and orange.
_RAMPS = {
    "sea": ((20, 11, 52), (52, 42, 118), (44, 88, 143), (35, 130, 142), (45, 170, 124),
            (134, 205, 75), (250, 231, 60)),
    "fire": ((8, 6, 20), (58, 18, 88), (122, 28, 102), (186, 50, 82), (232, 98, 44),
             (250, 166, 34), (252, 244, 164)),
}  # fmt: skip
RAMPS = {name: np.array(knots, dtype=np.float64) for name, knots in _RAMPS.items()}


def color_map(
    values: torch.Tensor | np.ndarray, low: float, high: float, ramp: str = "sea"
) -> np.ndarray:
    """Colours uint8 [H, W, 3] of a map [H, W], dark at `low` and light at `high`.

    Args:
        values: the map; values below `low` or above `high` get the colour of that end.
        ramp: "sea" or "fire".

    Raises:
        ValueError: no such ramp.
    """
    if ramp not in RAMPS:
        raise ValueError(f"ramp must be one of {', '.join(RAMPS)}, not {ramp!r}")
    knots = RAMPS[ramp]
    share = (np.asarray(values, dtype=np.float64) - low) / max(high - low, 1e-9)
    place = np.clip(share, 0, 1) * (len(knots) - 1)
    channels = [np.interp(place, np.arange(len(knots)), knots[:, c]) for c in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def depth_colors(
    depth: torch.Tensor, acc: torch.Tensor, near: float | None = None, far: float | None = None
) -> np.ndarray:
    """Colours uint8 [H, W, 3] of a depth map, light where near, and white where nothing is.

    The ramp is linear in inverse depth, which separates near things better.

    Args:
        depth, acc: [H, W] distance and opacity.
        near, far: the distances at the ends of the ramp; by default the range of what is seen.
    """
    seen = depth[acc > 0.5]
    seen = seen if seen.numel() else depth.new_ones(1)
    near = float(seen.min()) if near is None else near
    far = float(seen.max()) if far is None else far
    inverse = 1.0 / depth.clamp_min(max(near, 1e-6))
    return on_paper(color_map(inverse, 1.0 / max(far, 1e-6), 1.0 / max(near, 1e-6)), acc)


def level_colors(level: torch.Tensor, acc: torch.Tensor, num_levels: int) -> np.ndarray:
    """Colours uint8 [H, W, 3] of a pyramid level map, dark where coarse, on white."""
    return on_paper(color_map(level, 0, max(num_levels - 1, 1)), acc)


def on_paper(colors: np.ndarray, acc: torch.Tensor) -> np.ndarray:
    """Colours uint8 [H, W, 3] over white, by opacity [H, W]."""
    opacity = acc.unsqueeze(-1).numpy()
    return (opacity * colors + (1 - opacity) * 255).round().astype(np.uint8)
