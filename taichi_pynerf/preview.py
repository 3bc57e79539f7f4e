"""One picture that shows what a model learned: truth, render, depth and pyramid level."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from taichi_pynerf.evaluation import Dataset, render_image
from taichi_pynerf.files import atomic_write
from taichi_pynerf.metrics import compute_psnr
from taichi_pynerf.model import PyNeRF

# A dark-to-light ramp through blue, teal, green and yellow, evenly spaced in lightness.
_RAMP = np.array(
    [[20, 11, 52], [52, 42, 118], [44, 88, 143], [35, 130, 142], [45, 170, 124], [134, 205, 75],
     [250, 231, 60]],
    dtype=np.float32,
)  # fmt: skip
_MARGIN, _HEADING = 8, 22
_INK, _PAPER = (40, 40, 40), (255, 255, 255)


def color_map(values: torch.Tensor, low: float, high: float) -> np.ndarray:
    """uint8 [H, W, 3] colours of a map [H, W], dark at `low` and light at `high`."""
    share = ((values - low) / max(high - low, 1e-9)).clamp(0, 1).numpy() * (len(_RAMP) - 1)
    knots = np.arange(len(_RAMP))
    channels = [np.interp(share, knots, _RAMP[:, c]) for c in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def to_bytes(rgb: torch.Tensor) -> np.ndarray:
    """uint8 [H, W, 3] of a float image [H, W, 3] in [0, 1]."""
    return (rgb.clamp(0, 1) * 255).round().byte().numpy()


def write_preview(model: PyNeRF, dataset: Dataset, path: str | Path, view: int = 0) -> None:
    """Write a PNG: for each scale of a view a row of truth, render, depth and level.

    Depth is nearer = lighter; the level map runs from the coarsest level, dark, to the finest.
    Images of coarse scales are enlarged without smoothing, so that their pixels show.

    Args:
        view: which of the dataset's views.
    """
    name = dataset.names[view]
    rows = [i for i in range(len(dataset)) if dataset.names[i] == name]
    height, width = int(dataset.cameras.height[view]), int(dataset.cameras.width[view])
    columns = ("ground truth", "render", "depth (near is light)", "pyramid level (fine is light)")
    sheet = Image.new(
        "RGB",
        (
            len(columns) * (width + _MARGIN) + _MARGIN,
            len(rows) * (height + _HEADING) + _MARGIN,
        ),
        _PAPER,
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for r, index in enumerate(rows):
        out, truth = render_image(model, dataset, index), dataset.image(index)
        top = r * (height + _HEADING)
        tiles = (to_bytes(truth), to_bytes(out["rgb"]), *_maps(out, len(model.field.resolutions)))
        scale = int(dataset.scales[index])
        psnr = compute_psnr(out["rgb"], truth)
        headings = list(columns)
        headings[0] += f", 1/{scale}" if len(rows) > 1 else ""
        headings[1] += f", {psnr:.1f} dB"
        for c, (tile, heading) in enumerate(zip(tiles, headings, strict=True)):
            left = _MARGIN + c * (width + _MARGIN)
            draw.text((left, top + 5), heading, _INK, font)
            picture = Image.fromarray(tile).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(picture, (left, top + _HEADING))
    with atomic_write(path) as file:
        sheet.save(file, format="PNG")


def _maps(out: dict[str, torch.Tensor], num_levels: int) -> list[np.ndarray]:
    """Depth and level in colour, on paper white where nothing is seen."""
    opaque = out["acc"] > 0.5
    depth = out["depth"]
    seen = depth[opaque] if bool(opaque.any()) else depth.view(-1)
    near, far = float(seen.min()), float(seen.max())
    acc = out["acc"].unsqueeze(-1).numpy()
    maps = (color_map(far + near - depth, near, far), color_map(out["level"], 0, num_levels - 1))
    return [(acc * m + (1 - acc) * 255).round().astype(np.uint8) for m in maps]
