"""Pixels to train on and their rays, in nerfstudio: those that `apps/train.py` would draw.

nerfstudio's own sampler draws others, gives every image of several sizes as many, and its rays
have the areas of their pixels only estimated from their neighbours.
"""

from __future__ import annotations

import torch
from nerfstudio.cameras.cameras import Cameras as StudioCameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.pixel_samplers import PixelSampler as StudioPixelSampler
from nerfstudio.data.pixel_samplers import PixelSamplerConfig
from nerfstudio.model_components.ray_generators import RayGenerator

from taichi_pynerf.data.sampling import PixelSampler
from taichi_pynerf.geometry.rays import generate_rays
from taichi_pynerf.nerfstudio.views import cameras_from_studio


class ScenePixelSampler(StudioPixelSampler):
    """Draws pixels as this package's datasets do: of all images, in the order of the dataset.

    nerfstudio keeps images in random order, and may keep some of them at a time.

    Args:
        config: of nerfstudio's sampler; its ways of drawing do not count here.
        dataset: V images. Its metadata may have "scales" and "pixel_weights", both [V]; see
            `taichi_pynerf.data.scene_files.SceneFiles`.
        num_rays_per_batch: pixels to draw at a time.
        generator: where the randomness comes from.
    """

    def __init__(
        self,
        config: PixelSamplerConfig,
        dataset: InputDataset,
        num_rays_per_batch: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(config, num_rays_per_batch=num_rays_per_batch)
        self.dataset, self.generator = dataset, generator
        self._cameras = cameras_from_studio(dataset.cameras)
        self._images: dict | None = None  # those drawn from now

    def sample(self, image_batch: dict) -> dict:
        """Draw N pixels.

        Returns:
            What the images hold at these pixels by the same names, "image" [N, C] above all;
            "indices" [N, 3], image, row and column; "weights" [N], what each pixel counts for.
        """
        if image_batch is not self._images:
            self._images = image_batch
            self._places, self._sampler = self._prepare(image_batch)
        slot, pixel, weights = self._sampler.draw(self.num_rays_per_batch, self.generator)
        place = self._places.index_select(0, slot)
        view = image_batch["image_idx"].cpu().index_select(0, place)
        width = self._cameras.width.index_select(0, view)
        y = pixel.div(width, rounding_mode="floor")
        x = pixel - y * width
        batch = {
            name: _at(value, place, y, x)
            for name, value in image_batch.items()
            if name != "image_idx" and value is not None
        }
        # 8 bits are a little different as floats here: not divided by 255, but times its inverse.
        batch["image"] = (batch["image"] * 255).round_().mul_(1 / 255)
        batch["indices"], batch["weights"] = torch.stack([view, y, x], -1), weights
        if self.config.keep_full_image:
            batch["full_image"] = image_batch["image"]
        return batch

    def _prepare(self, image_batch: dict) -> tuple[torch.Tensor, PixelSampler]:
        """Places of A images in the batch, by their order in the dataset, and their sampler."""
        index = image_batch["image_idx"].cpu()
        places = index.argsort()
        views = index[places]
        sizes = (self._cameras.width * self._cameras.height)[views]
        known = self.dataset.metadata
        scales = known.get("scales")
        sampler = PixelSampler(
            torch.arange(len(views)),
            torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
            tickets=None if scales is None else scales[views] ** 2,
            pixel_weights=known.get("pixel_weights", torch.ones(len(self._cameras)))[views],
            masks=self._masks(image_batch, places.tolist(), views.tolist()),
        )
        return places, sampler

    def _masks(self, image_batch: dict, places: list[int], views: list[int]) -> torch.Tensor | None:
        """[P] bool, which pixels of the images to draw, or None for all."""
        masks = None if self.config.ignore_mask else image_batch.get("mask")
        seen = [self._cameras.pixels_with_rays(view) for view in views]
        if masks is None and all(mask is None for mask in seen):
            return None
        sizes = (self._cameras.width * self._cameras.height)[views].tolist()
        every = [torch.ones(size, dtype=torch.bool) for size in sizes]
        for mask, with_rays in zip(every, seen, strict=True):
            if with_rays is not None:
                mask &= with_rays.flatten()
        if masks is not None:
            for mask, place in zip(every, places, strict=True):
                mask &= masks[place].flatten().cpu().bool()
        return torch.cat(every)


def _at(
    images: torch.Tensor | list[torch.Tensor],
    place: torch.Tensor,
    y: torch.Tensor,
    x: torch.Tensor,
) -> torch.Tensor:
    """[N, C] what images have at N pixels: [A, H, W, C], or a list of A images of any sizes."""
    if isinstance(images, torch.Tensor):
        place, y, x = (index.to(images.device) for index in (place, y, x))
        return images[place, y, x]
    found = images[0].new_empty(len(place), images[0].shape[-1])
    for i in place.unique().tolist():
        here = (place == i).nonzero().squeeze(1)
        found[here] = images[i][y[here], x[here]]
    return found


class SceneRayGenerator(RayGenerator):
    """The rays of pixels and the areas of these, as this package's cameras have them.

    Args:
        cameras: V perspective or fisheye cameras.
    """

    def __init__(self, cameras: StudioCameras) -> None:
        super().__init__(cameras)
        self._own = cameras_from_studio(cameras)
        known = cameras.metadata or {}  # see `views.cameras_to_studio`
        self._bounds = {name: known[name].cpu() for name in ("near", "far") if name in known}

    def forward(self, ray_indices: torch.Tensor) -> RayBundle:
        """The rays of N pixels, given as [N, 3] image, row and column."""
        view, y, x = ray_indices.cpu().unbind(-1)
        rays = generate_rays(self._own, view, x, y)
        bundle = RayBundle(
            origins=rays.rays_o,
            directions=rays.rays_d,
            pixel_area=rays.pixel_areas.unsqueeze(-1),
            camera_indices=view.unsqueeze(-1),
            metadata={name: bound[view] for name, bound in self._bounds.items()},
        )
        return bundle.to(self.cameras.device)
