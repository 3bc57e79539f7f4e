"""Whole images from a model, and how close they are to the photographs."""

from statistics import fmean

import torch
from tqdm import tqdm

from taichi_pynerf.data.datasets import MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.metrics import compute_psnr, compute_ssim
from taichi_pynerf.model import PyNeRF
from taichi_pynerf.rays import RayBatch
from taichi_pynerf.renderer import Rays, Rendered

Dataset = PyNeRFDataset | MultiScaleDataset
RAYS_PER_CHUNK = 2**15


def rays_on_device(rays: RayBatch, near: float, far: float, device: torch.device) -> Rays:
    """Rays of a dataset, bounded by its near and far, where the model can use them."""
    bounds = rays.rays_o.new_tensor([near, far]).expand(len(rays.rays_o), 2)
    return Rays(*(x.to(device).contiguous() for x in (*rays, bounds)))


def render_rays(model: PyNeRF, rays: Rays, level: float | None = None) -> Rendered:
    """Render any number of rays, in chunks of `RAYS_PER_CHUNK`."""
    parts = [
        model.renderer.render_rays(rays[i : i + RAYS_PER_CHUNK], level)
        for i in range(0, len(rays), RAYS_PER_CHUNK)
    ]
    columns = ((getattr(part, name) for part in parts) for name in Rendered.__dataclass_fields__)
    return Rendered(*(torch.cat(list(column)) for column in columns))


def render_image(
    model: PyNeRF, dataset: Dataset, index: int, level: float | None = None
) -> dict[str, torch.Tensor]:
    """Render one image of a dataset over the dataset's background.

    Args:
        index: which image.
        level: a fixed pyramid level instead of each sample's own.

    Returns:
        {"rgb": [H, W, 3], "depth": [H, W], "acc": [H, W], "level": [H, W]} on the CPU; depth in
        world units.
    """
    height, width = int(dataset.cameras.height[index]), int(dataset.cameras.width[index])
    rays = rays_on_device(dataset.rays(index), dataset.near, dataset.far, model.device)
    out = render_rays(model, rays, level)
    rgb = out.rgb.cpu() + (1 - out.acc.cpu()).unsqueeze(-1) * dataset.background
    return {
        "rgb": rgb.clamp(0, 1).view(height, width, 3),
        **{
            name: getattr(out, name).cpu().view(height, width) for name in ("depth", "acc", "level")
        },
    }


def evaluate(
    model: PyNeRF,
    dataset: Dataset,
    indices: list[int] | None = None,
    ssim: bool = True,
    progress: bool = False,
) -> dict:
    """PSNR and SSIM of a dataset's images, per scale and their mean.

    Args:
        indices: which images; all of them if None.
        ssim: compute SSIM too.
        progress: show a bar.

    Returns:
        {"psnr", "ssim", "scales": {"1": {"psnr", "ssim"}, …}}: per scale the mean over its
        images, in dB for PSNR; the first two are the means over the scales. Without `ssim` the
        "ssim" entries are left out.
    """
    indices = list(range(len(dataset))) if indices is None else indices
    found: dict[int, dict[str, list[float]]] = {}
    for index in tqdm(indices, desc=f"render {dataset.split}", disable=not progress, unit="img"):
        rgb, target = render_image(model, dataset, index)["rgb"], dataset.image(index)
        scale = found.setdefault(int(dataset.scales[index]), {"psnr": [], "ssim": []})
        scale["psnr"].append(compute_psnr(rgb, target))
        if ssim:
            scale["ssim"].append(compute_ssim(rgb, target))
    names = ("psnr", "ssim") if ssim else ("psnr",)
    scales = {
        str(scale): {name: fmean(values[name]) for name in names}
        for scale, values in sorted(found.items())
    }
    means = {name: fmean(values[name] for values in scales.values()) for name in names}
    return {**means, "scales": scales}
