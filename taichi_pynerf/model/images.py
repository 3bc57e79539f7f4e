"""Whole images from a model: rays in chunks that fit the memory, pixels over a background."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.geometry.normals import CORNERS, density_normals
from taichi_pynerf.geometry.rays import Rays, generate_rays, parallel_as_cones
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.ray_rounds import SAMPLES_PER_RAY
from taichi_pynerf.model.renderer import RAYS_AT_ONCE
from taichi_pynerf.model.renders import Rendered
from taichi_pynerf.runtime.memory import free_memory

WHITE = (1.0, 1.0, 1.0)
BAND = 16  # rays of a band of the image, as a multiple of the chunk size
LEAST_OPACITY = 0.5  # opacity below which a pixel has no normal
NORMALS_AT_ONCE = 2**15  # surface points whose normals are computed in one call
_LEAST_CHUNK = 2**10  # rays; smaller chunks would be all overhead
PARALLEL_BACK = 8.0  # distance of the cones' tips, in sides of the scene box: `parallel_as_cones`


@dataclass(frozen=True)
class RenderOptions:
    """How images are rendered.

    Attributes:
        level: one pyramid level for all samples, 0 the coarsest; by default each sample's own.
        supersample: K renders K x K rays in each pixel and averages them.
        stride: K renders only every K-th pixel of every K-th row. The result is a sample of the
            image, as sharp as the image itself; it is not the image reduced in size.
        chunk_size: rays at once; by default as many as the free memory allows.
        crop: a box; nothing outside of it is seen.
        normals: give the normals of surfaces too.

    Raises:
        ValueError: `supersample`, `stride` or `chunk_size` is less than 1, or `level` less than 0.
    """

    level: float | None = None
    supersample: int = 1
    stride: int = 1
    chunk_size: int | None = None
    crop: CropBox | None = None
    normals: bool = False

    def __post_init__(self) -> None:
        if self.level is not None and self.level < 0:
            raise ValueError(f"level is {self.level}: it must be 0 or more")
        for name in ("supersample", "stride", "chunk_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: it must be 1 or more")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in pixels of the render of an image of this width and height."""
        return -(-width // self.stride), -(-height // self.stride)


def fitting_chunk_size(model: PyNeRF) -> int:
    """Number of rays that fit a quarter of the free memory, at most `RAYS_AT_ONCE`.

    A round of rendering holds some samples of each ray. For each sample it holds the position, the
    encoding and the layers of the networks, about three times over.
    """
    config = model.config
    encoding = len(model.field.resolutions) * config.features_per_level
    layers = 2 * config.hidden_dim + config.geo_feature_dim + 32
    bytes_per_ray = 3 * 4 * (encoding + layers) * SAMPLES_PER_RAY
    chunk_size = free_memory(model.device) // 4 // bytes_per_ray
    return int(min(max(chunk_size, _LEAST_CHUNK), RAYS_AT_ONCE))


def render_rays(
    model: PyNeRF,
    rays: Rays,
    level: float | None = None,
    chunk_size: int | None = None,
    on_rays: Callable[[int], object] | None = None,
) -> Rendered:
    """Render any number of rays, as many at once as the memory allows.

    Args:
        rays: N rays on the model's device; N may be 0.
        level: one pyramid level for all samples instead of each sample's own.
        chunk_size: rays at once; by default `fitting_chunk_size(model)`.
        on_rays: called with the number of rays finished since the last call.
    """
    chunk_size = chunk_size or fitting_chunk_size(model)
    return model.renderer.render_rays(rays, level, chunk_size, on_rays)


def render_image(
    model: PyNeRF,
    cameras: Cameras,
    view: int,
    near: float,
    far: float,
    background: torch.Tensor | Sequence[float] = WHITE,
    options: RenderOptions | None = None,
    on_rays: Callable[[int], object] | None = None,
) -> dict[str, torch.Tensor]:
    """Render what one camera sees.

    Args:
        cameras, view: the camera.
        near, far: least and greatest distance along its rays, world units.
        background: [3] colour behind the scene.
        options: level, supersampling, chunks, crop, normals.
        on_rays: called with the number of rays of each finished part.

    Returns:
        {"rgb": [H, W, 3] in [0, 1], "depth": [H, W], "acc": [H, W], "level": [H, W]} on the CPU,
        where (W, H) is `options.size` of the camera's size. Depth is the mean distance along the
        ray to what is seen, in world units; 0 where nothing is. "acc" is the opacity, "level" the
        mean pyramid level of what is seen. With `options.normals` there is also "normal",
        [H, W, 3]: unit vectors in the world, 0 where nothing is.
    """
    options = options or RenderOptions()
    width, height = options.size(int(cameras.width[view]), int(cameras.height[view]))
    k = options.supersample
    camera = cameras.select([view])
    camera = camera.resized(k * camera.width, k * camera.height) if k > 1 else camera
    is_orthographic, camera = camera.is_orthographic(0), camera.to(model.device)
    chunk_size = options.chunk_size or fitting_chunk_size(model)
    box = model.renderer.box
    # Bands of whole rows keep the memory bounded.
    num_rows = max(1, BAND * chunk_size // (k * k * width))
    # The first place of each pixel to render, and the k places within it.
    starts = k * options.stride * torch.arange(max(width, height)).unsqueeze(1)
    places = (starts + torch.arange(k)).to(model.device)
    columns = places[:width].flatten()
    bands = []
    for top in range(0, height, num_rows):
        rows = min(num_rows, height - top)
        lines = places[top : top + rows].flatten()
        x, y = columns.repeat(len(lines)), lines.repeat_interleave(len(columns))
        rays = generate_rays(camera, torch.zeros_like(x), x, y, (near, far))
        shift = 0.0
        if is_orthographic:
            # Steps of unbounded scenes grow with the distance from the origin.
            back = 0.0 if box.unbounded else PARALLEL_BACK
            rays, shift = parallel_as_cones(rays, box.center, box.size, back)
        rays = rays if options.crop is None else options.crop.clip(rays)
        out = render_rays(model, rays, options.level, chunk_size, on_rays)
        depth = (out.depth - shift).clamp_min(0)
        parts = [out.rgb, *(x[:, None] for x in (out.acc, depth, out.level))]
        if options.normals:
            parts.append(surface_normals(model, rays, out))
        bands.append(_pixels(torch.cat(parts, 1).cpu(), rows, width, k))
    rgb, acc, depth, level, normal = torch.cat(bands).tensor_split([3, 4, 5, 6], -1)
    rgb = rgb + (1 - acc) * torch.as_tensor(background)
    image = {
        "rgb": rgb.clamp(0, 1),
        "depth": depth.squeeze(-1),
        "acc": acc.squeeze(-1),
        "level": level.squeeze(-1),
    }
    if options.normals:
        image["normal"] = torch.nn.functional.normalize(normal, dim=-1)
    return image


def _pixels(columns: torch.Tensor, height: int, width: int, k: int) -> torch.Tensor:
    """Means [H, W, C] over k x k rays; channels after the opacity are weighted by it."""
    if k == 1:
        return columns.view(height, width, -1)
    acc = columns[:, 3:4]
    columns = torch.cat([columns[:, :4], columns[:, 4:] * acc], 1)
    means = columns.view(height, k, width, k, -1).mean((1, 3))
    return torch.cat([means[..., :4], means[..., 4:] / means[..., 3:4].clamp_min(1e-6)], -1)


def render_path(
    model: PyNeRF,
    cameras: Cameras,
    near: float,
    far: float,
    background: torch.Tensor | Sequence[float] = WHITE,
    options: RenderOptions | None = None,
    progress: bool = False,
) -> Iterator[dict[str, torch.Tensor]]:
    """Render what each of V cameras sees, one after the other. Other arguments: `render_image`.

    Args:
        progress: show a progress bar over all rays.

    Yields:
        The result of `render_image` for each camera.
    """
    with rays_bar(cameras, range(len(cameras)), options, progress) as bar:
        for view in range(len(cameras)):
            yield render_image(
                model, cameras, view, near, far, background, options, on_rays=bar.update
            )


def rays_bar(
    cameras: Cameras,
    views: Sequence[int],
    options: RenderOptions | None = None,
    progress: bool = True,
    description: str = "render",
) -> tqdm:
    """A progress bar over all rays of some views."""
    options = options or RenderOptions()
    sizes = (options.size(int(cameras.width[v]), int(cameras.height[v])) for v in views)
    total = sum(math.prod(size) for size in sizes)
    return tqdm(
        total=total * options.supersample**2, desc=description, unit=" rays", unit_scale=True,
        disable=not progress, mininterval=0.5,
    )  # fmt: skip


@torch.no_grad()
def surface_normals(model: PyNeRF, rays: Rays, rendered: Rendered) -> torch.Tensor:
    """Unit normals [N, 3] in the world where rays meet something, zeros elsewhere.

    A normal is taken over the footprint of its pixel, at the pixel's own pyramid level.

    Args:
        model: the model.
        rays: N rays.
        rendered: the pixels that these rays gave.
    """
    normals = torch.zeros_like(rays.rays_d)
    hits = (rendered.acc > LEAST_OPACITY).nonzero().squeeze(-1)
    for hit in hits.split(NORMALS_AT_ONCE):
        normals[hit] = _normals_of_hits(model, rays[hit], rendered.depth[hit], rendered.level[hit])
    return normals


def _normals_of_hits(
    model: PyNeRF, rays: Rays, depth: torch.Tensor, level: torch.Tensor
) -> torch.Tensor:
    """Unit normals [K, 3] of rays that meet something at depths [K], at pyramid levels [K]."""
    box, field = model.renderer.box, model.field
    widths = (rays.pixel_areas.sqrt() * depth).clamp_min(box.field_size / field.resolutions[-1])
    levels = level.repeat_interleave(len(CORNERS))

    def density(points: torch.Tensor) -> torch.Tensor:
        return field.density(box.unit_to_field(box.to_unit(points)).clamp(0, 1), levels)

    return density_normals(density, rays.rays_o + depth[:, None] * rays.rays_d, widths)
