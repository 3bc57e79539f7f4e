"""Training pixels and their rays in nerfstudio: the same that `apps/train.py` would draw.

nerfstudio's own sampler draws other pixels, and equally many of every image if sizes differ. Its
rays only have estimates of their pixels' areas, made from neighbouring rays.
"""

from __future__ import annotations

import torch
from nerfstudio.cameras.cameras import Cameras as StudioCameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.pixel_samplers import PixelSampler as StudioPixelSampler
from nerfstudio.data.pixel_samplers import PixelSamplerConfig
from nerfstudio.model_components.ray_generators import RayGenerator

from taichi_pynerf.data.drawing.contrast import CANDIDATES, LOOKS, draw_by_contrast, local_contrast
from taichi_pynerf.data.drawing.sampler import PixelSampler
from taichi_pynerf.geometry.rays import generate_rays
from taichi_pynerf.nerfstudio.views import cameras_from_studio


class ScenePixelSampler(StudioPixelSampler):
    """Draws pixels as this package's datasets do: of all images, in the order of the dataset.

    nerfstudio keeps images in random order, and may keep only some of them at a time.

    Args:
        config: configuration of nerfstudio's sampler; its ways of drawing are ignored.
        dataset: V images. Its metadata may have "scales" and "pixel_weights", both [V]; see
            `taichi_pynerf.data.scene_files.SceneFiles`.
        num_rays_per_batch: number of pixels to draw at a time.
        generator: source of randomness.

    Attributes:
        contrast_share: part of a pixel's probability that follows its contrast, in [0, 1).
    """

    contrast_share = 0.0

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
        self._images: dict | None = None  # the images drawn from at present

    def sample(self, image_batch: dict) -> dict:
        """Draw N pixels.

        Returns:
            The values of the images at these pixels under the same names, such as "image" [N, C];
            "indices" [N, 3], image, row and column; "weights" [N], the pixels' weights.
        """
        if image_batch is not self._images:
            self._images = image_batch
            self._places, self._sampler = self._prepare(image_batch)
        more = CANDIDATES if self.contrast_share else 1
        slot, pixel, weights = self._sampler.draw(more * self.num_rays_per_batch, self.generator)
        place = self._places.index_select(0, slot)
        view = image_batch["image_idx"].cpu().index_select(0, place)
        width = self._cameras.width.index_select(0, view)
        y = pixel.div(width, rounding_mode="floor")
        x = pixel - y * width
        if self.contrast_share:
            there = place.repeat(len(LOOKS))
            contrast = local_contrast(
                lambda x, y: premultiplied(_at(image_batch["image"], there, y, x).cpu()),
                x, y, width, self._cameras.height.index_select(0, view),
            )  # fmt: skip
            chosen, factors = draw_by_contrast(
                contrast, self.contrast_share, self.num_rays_per_batch,
                float(torch.rand((), generator=self.generator)),
            )  # fmt: skip
            place, view, y, x = (index.index_select(0, chosen) for index in (place, view, y, x))
            weights = weights.index_select(0, chosen) * factors
        batch = {
            name: _at(value, place, y, x)
            for name, value in image_batch.items()
            if name != "image_idx" and value is not None
        }
        # This package multiplies 8-bit values by 1 / 255 where nerfstudio divides by 255.
        batch["image"] = (batch["image"] * 255).round_().mul_(1 / 255)
        batch["indices"], batch["weights"] = torch.stack([view, y, x], -1), weights
        if self.config.keep_full_image:
            batch["full_image"] = image_batch["image"]
        return batch

    def _prepare(self, image_batch: dict) -> tuple[torch.Tensor, PixelSampler]:
        """The places of A images in the batch, in the order of the dataset, and their sampler."""
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
        """bool [P]: which pixels of the images to draw; None for all."""
        masks = None if self.config.ignore_mask else image_batch.get("mask")
        seen = self._cameras.pixels_with_rays_of(views)
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


def premultiplied(image: torch.Tensor) -> torch.Tensor:
    """8-bit values float [..., C] of an image in [0, 1], as this package's datasets keep them."""
    if image.shape[-1] == 3:
        return (image * 255).round()
    return torch.cat([image[..., :3] * image[..., 3:], image[..., 3:]], -1).mul_(255).round_()


def _at(
    images: torch.Tensor | list[torch.Tensor],
    place: torch.Tensor,
    y: torch.Tensor,
    x: torch.Tensor,
) -> torch.Tensor:
    """Values [N, C] of images at N pixels; images are [A, H, W, C] or a list of A of any sizes."""
    if isinstance(images, torch.Tensor):
        place, y, x = (index.to(images.device) for index in (place, y, x))
        return images[place, y, x]
    found = images[0].new_empty(len(place), images[0].shape[-1])
    for i in place.unique().tolist():
        here = (place == i).nonzero().squeeze(1)
        found[here] = images[i][y[here], x[here]]
    return found


class SceneRayGenerator(RayGenerator):
    """The rays of pixels, with their areas, as this package's cameras give them.

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
