"""Datasets: the pixels of a scene as random batches of rays, or image by image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from taichi_pynerf.data.drawing.batch import Batch
from taichi_pynerf.data.drawing.contrast import CANDIDATES, LOOKS, draw_by_contrast, local_contrast
from taichi_pynerf.data.drawing.sampler import PixelSampler
from taichi_pynerf.data.drawing.store import PixelStore
from taichi_pynerf.data.loading import load_split
from taichi_pynerf.data.placement import Placement
from taichi_pynerf.data.scene import Scene
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.rays import Rays, along_rays, generate_rays, view_rays
from taichi_pynerf.runtime.transfer import to_device

SAMPLING_MODES = ("pixels", "scales", "halved")


def _floats(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels uint8 as float32 in [0, 1]."""
    return pixels.float().mul_(1.0 / 255.0)


class _SceneDataset:
    """The common part of both datasets: holds pixels in 8 bits, and converts some to floats.

    Attributes:
        cameras: V cameras, one for each image at each of its scales.
        names: V names.
        scales: [V] int64, the width of each image's pixels in full-size pixels.
        near, far: bounds of the distance along any ray, world units.
        aabb: the scene box (x0, y0, z0, x1, y1, z1), world units.
        unbounded: whether there is something outside of the scene box too.
        transform: the transform from the coordinates of the scene's files to those used here.
        split: name of the split.
        background: [3] float32, the colour behind transparent pixels.
        has_alpha: whether pixels can be transparent.
        has_depth: whether the scene has depth images.
        sightings: points of known distance that the images see, or None.
        exposures: [V] float32, exposures of the images by EXIF, in stops; NaN if unknown.
        num_pixels: number of pixels of all images, masked ones too.
        active_scales: the scales that `sample` draws from, in ascending order.
    """

    def __init__(self, scene: Scene, white_background: bool, sampling: str) -> None:
        if sampling not in SAMPLING_MODES:
            raise ValueError(f"sampling must be one of {SAMPLING_MODES}, not {sampling!r}")
        self.cameras: Cameras = scene.cameras
        self.names = scene.names
        self.scales = scene.scales
        self.near, self.far = scene.near, scene.far
        self.aabb = scene.aabb
        self.unbounded = scene.unbounded
        self.transform = scene.transform
        self.split = scene.split
        self.background = torch.full((3,), float(white_background))
        self._sampling = sampling
        self._pixels = torch.from_numpy(scene.pixels)
        self.has_alpha = scene.pixels.shape[1] == 4
        unknown = torch.full((len(scene),), torch.nan)
        self.exposures: torch.Tensor = unknown if scene.exposures is None else scene.exposures
        self._offsets = scene.offsets
        self._masks = None if scene.masks is None else torch.from_numpy(scene.masks)
        self.has_depth = scene.depths is not None and bool(scene.depths.any())
        self._depths: torch.Tensor | None = None
        if scene.depths is not None and self.has_depth:
            self._depths = torch.from_numpy(scene.depths)
        self.sightings = scene.sightings
        self._pixel_weights = scene.pixel_weights
        # Where `sample` finds pixels, and where it makes rays of them.
        self._store = PixelStore(self._pixels, self._depths, self._offsets)
        self._drawing_cameras = self.cameras
        self.set_active_scales(self.scales.tolist())

    def __len__(self) -> int:
        """The number of images; every scale of a view counts."""
        return len(self.cameras)

    @property
    def num_pixels(self) -> int:
        return len(self._pixels)

    def set_active_scales(self, scales: Iterable[int]) -> None:
        """Let `sample` draw only from the images of these scales from now on.

        Raises:
            ValueError: a scale has no image, no scale is given, or the masks leave no pixel.
        """
        wanted = sorted(set(scales))
        if not wanted or not set(wanted) <= set(self.scales.tolist()):
            present = sorted(set(self.scales.tolist()))
            raise ValueError(f"active scales must be some of {present}, got {wanted}")
        active = torch.isin(self.scales, torch.tensor(wanted)).nonzero().squeeze(1)
        widths = self.scales[active]
        tickets = {"pixels": None, "scales": widths**2, "halved": widths}[self._sampling]
        halved = self._sampling == "halved"
        self._sampler = PixelSampler(
            active,
            self._offsets,
            tickets=tickets,
            pixel_weights=widths.float() if halved else self._pixel_weights[active],
            masks=self._masks,
        ).draw_on(self._store.offsets.device)
        self.active_scales = tuple(wanted)
        self._sighted = None if self.sightings is None else self.sightings.of_views(active)

    def draw_on(self, device: torch.device, data_device: str = "auto") -> None:
        """Let `sample` give its batches on a device: the same ones, for the same generator.

        Everything else here stays on the CPU.

        Args:
            device: where the model is.
            data_device: where to keep the pixels that `sample` takes; see `PixelStore.kept`. What
                is kept on the CPU is copied batch by batch.

        Raises:
            ConfigError: `data_device` does not fit the device.
        """
        here = PixelStore(self._pixels, self._depths, self._offsets)
        self._store = here.kept(device, data_device)
        self._sampler.draw_on(self._store.offsets.device)
        self._drawing_cameras = self.cameras.to(device)

    def sample(
        self,
        num_rays: int,
        generator: torch.Generator,
        background: torch.Tensor | Sequence[float] | None = None,
        num_sighted: int = 0,
        contrast_share: float = 0.0,
    ) -> Batch:
        """Draw pixels at random, with replacement, from all images of the active scales.

        Args:
            num_rays: N.
            generator: source of randomness; the same state gives the same batch.
            background: colour behind transparent pixels, [3] or [N, 3]; by default the dataset's.
            num_sighted: how many of the pixels, the first ones, are to be `sightings`.
            contrast_share: part of a pixel's probability that follows its contrast, in [0, 1).

        Returns:
            The batch, on the device that `draw_on` was given, or else on the CPU.
        """
        pixels, depths, offsets = self._store
        cameras, device = self._drawing_cameras, self._drawing_cameras.c2w.device
        view, pixel, weights = self._draw(num_rays, generator, contrast_share)
        sparse = None  # depths of the sighted pixels
        if num_sighted and self._sighted is not None and len(self._sighted):
            sparse, weights[:num_sighted] = torch.zeros_like(weights), 1
            self._sighted.draw_into(view, pixel, sparse, num_sighted, generator)
        at = offsets.index_select(0, view) + pixel
        rgba = pixels.index_select(0, at)
        depth = None if depths is None else depths.index_select(0, at)
        if offsets.device != device:
            view, pixel, weights, rgba = (
                to_device(x, device) for x in (view, pixel, weights, rgba)
            )
            depth, sparse = (None if x is None else to_device(x, device) for x in (depth, sparse))
        width = cameras.width.index_select(0, view)
        y = pixel.div(width, rounding_mode="floor")
        x = pixel - y * width
        rays = generate_rays(cameras, view, x, y, (self.near, self.far))
        unknown = torch.zeros_like(weights)
        depth, sparse = (
            unknown if x is None else along_rays(x, rays, cameras, view) for x in (depth, sparse)
        )
        colors = _floats(rgba)
        return Batch(
            rays=rays,
            rgb=self._over_background(colors, background),
            weights=weights,
            view_indices=view,
            depth=depth,
            acc=colors[:, 3] if self.has_alpha else torch.ones_like(weights),
            sparse_depth=sparse,
        )

    def _draw(
        self, num_rays: int, generator: torch.Generator, contrast_share: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """N pixels and their weights, as `PixelSampler.draw` gives them."""
        if not contrast_share:
            return self._sampler.draw(num_rays, generator)
        view, pixel, weights = self._sampler.draw(CANDIDATES * num_rays, generator)
        pixels, _, offsets = self._store
        here = offsets.device == self.cameras.width.device
        cameras = self.cameras if here else self._drawing_cameras
        begin, width = offsets.index_select(0, view), cameras.width.index_select(0, view)
        height, y = cameras.height.index_select(0, view), pixel.div(width, rounding_mode="floor")

        def values_at(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            at = (y * width.repeat(len(LOOKS))).add_(begin.repeat(len(LOOKS))).add_(x)
            if pixels.shape[1] != 4:
                return pixels.index_select(0, at)
            return pixels.view(torch.int32).index_select(0, at).view(torch.uint8)  # sooner

        contrast = local_contrast(values_at, pixel - y * width, y, width, height)
        offset = float(torch.rand((), generator=generator))
        chosen, factors = draw_by_contrast(contrast, contrast_share, num_rays, offset)
        view, pixel, weights = (x.index_select(0, chosen) for x in (view, pixel, weights))
        return view, pixel, weights * factors

    def image(
        self, index: int, background: torch.Tensor | Sequence[float] | None = None
    ) -> torch.Tensor:
        """Image `index` as [H, W, 3] float32 in [0, 1], over the background."""
        index = self._checked_index(index)
        rgba = self._pixels[self._offsets[index] : self._offsets[index + 1]]
        rgb = self._over_background(_floats(rgba), background)
        return rgb.view(int(self.cameras.height[index]), int(self.cameras.width[index]), 3)

    def alpha(self, index: int) -> torch.Tensor:
        """Opacity of image `index` as [H, W] uint8, 255 where it is opaque."""
        index = self._checked_index(index)
        height, width = int(self.cameras.height[index]), int(self.cameras.width[index])
        if not self.has_alpha:
            return torch.full((height, width), 255, dtype=torch.uint8)
        alpha = self._pixels[self._offsets[index] : self._offsets[index + 1], 3]
        return alpha.view(height, width)

    def mask(self, index: int) -> torch.Tensor | None:
        """The pixels of image `index` that count, as [H, W] bool, or None if all do."""
        index = self._checked_index(index)
        if self._masks is None:
            return None
        mask = self._masks[self._offsets[index] : self._offsets[index + 1]]
        return mask.view(int(self.cameras.height[index]), int(self.cameras.width[index]))

    def depth(self, index: int) -> torch.Tensor | None:
        """The distance along its ray to what each pixel of image `index` shows.

        Returns:
            [H, W] float32, world units; 0 where it is unknown. None if the scene has no depths.
        """
        index = self._checked_index(index)
        if self._depths is None:
            return None
        depths = self._depths[self._offsets[index] : self._offsets[index + 1]]
        view = torch.full((len(depths),), index)
        depths = along_rays(depths, self.rays(index), self.cameras, view)
        return depths.view(int(self.cameras.height[index]), int(self.cameras.width[index]))

    def rays(self, index: int) -> Rays:
        """The rays of image `index`, row by row."""
        return view_rays(self.cameras, self._checked_index(index), (self.near, self.far))

    def _over_background(
        self, colors: torch.Tensor, background: torch.Tensor | Sequence[float] | None
    ) -> torch.Tensor:
        """Colours [N, 3] of premultiplied colours [N, 3 or 4] in [0, 1]."""
        if not self.has_alpha:
            return colors
        behind = torch.as_tensor(self.background if background is None else background)
        if behind.device != colors.device:
            behind = to_device(behind, colors.device)
        return colors[:, :3] + (1.0 - colors[:, 3:]) * behind

    def _checked_index(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        return index


class PyNeRFDataset(_SceneDataset):
    """The images of one split of a scene, at one scale.

    Args:
        data_dir: the scene folder.
        split: "train", "val" or "test", as the scene has them.
        img_downscale: load the images reduced by this factor.
        white_background: put transparent pixels on white instead of black.
        dataset_type: the format; by default it is detected.
        placement: how to place the scene in its coordinates; by default as its format does.
        allow_external_paths: let the scene name images outside of its folder.
        exposure: exposure of OpenEXR and Radiance HDR images, stops.
        holdout: N holds out every N-th image, 0 none; by default the scene decides.
        colmap_path: COLMAP's sparse model to take, relative to `data_dir`; by default the largest.

    Raises:
        SceneError: the scene cannot be loaded; the message says why.
    """

    def __init__(
        self,
        data_dir: str | Path,
        split: str = "train",
        img_downscale: int = 1,
        white_background: bool = False,
        dataset_type: str | None = None,
        placement: Placement | None = None,
        allow_external_paths: bool = False,
        exposure: float = 0.0,
        holdout: int | None = None,
        colmap_path: str | None = None,
    ) -> None:
        scene = load_split(
            data_dir,
            split,
            dataset_type,
            img_downscale,
            placement=placement,
            allow_external_paths=allow_external_paths,
            exposure=exposure,
            holdout=holdout,
            colmap_path=colmap_path,
        )
        super().__init__(scene, white_background, "pixels")

    @classmethod
    def from_scene(cls, scene: Scene, white_background: bool = False) -> PyNeRFDataset:
        """A dataset of a scene in memory, at the scales that the scene has."""
        dataset = cls.__new__(cls)
        _SceneDataset.__init__(dataset, scene, white_background, "pixels")
        return dataset


class MultiScaleDataset(_SceneDataset):
    """The images of one split of a scene at several scales, as in multi-scale Blender (Mip-NeRF).

    The image at scale k is the k x k box average of the premultiplied full-size image. With scales
    1, 2, 4, 8 all images take 1.33 times the memory of the full-size ones, in 8 bits per channel.

    A pixel of scale k covers the area of k * k full-size pixels, and has that weight in Mip-NeRF's
    loss. Two ways of sampling have this expectation:

    - `sampling="pixels"`: all pixels are equally likely, and their weights are proportional to
      their areas. This is Mip-NeRF's way: coarse scales give few, heavy pixels.
    - `sampling="scales"`: the probability of a pixel is proportional to its area, so that every
      scale is equally likely. All weights are 1.

    The third is for photographs, whose full size matters most:

    - `sampling="halved"`: the probability of a pixel is proportional to its width, so that each
      scale is drawn half as often as the next finer one. All weights are 1.

    Args:
        data_dir: the scene folder.
        split: "train", "val" or "test", as the scene has them.
        scales: different positive integers. Columns and rows that do not fill a pixel of a scale
            are cut off at the right and the bottom.
        img_downscale: divisor of the files' size; the quotient counts as full size.
        sampling: "pixels", "scales" or "halved".
        white_background, dataset_type, …, colmap_path: as in `PyNeRFDataset`.

    Raises:
        SceneError: the scene cannot be loaded at these scales; the message says why.
        ValueError: `sampling` is none of the three.
    """

    def __init__(
        self,
        data_dir: str | Path,
        split: str = "train",
        scales: Sequence[int] = (1, 2, 4, 8),
        img_downscale: int = 1,
        white_background: bool = False,
        dataset_type: str | None = None,
        sampling: str = "scales",
        placement: Placement | None = None,
        allow_external_paths: bool = False,
        exposure: float = 0.0,
        holdout: int | None = None,
        colmap_path: str | None = None,
    ) -> None:
        scene = load_split(
            data_dir,
            split,
            dataset_type,
            img_downscale,
            scales=scales,
            placement=placement,
            allow_external_paths=allow_external_paths,
            exposure=exposure,
            holdout=holdout,
            colmap_path=colmap_path,
        )
        super().__init__(scene, white_background, sampling)

    @classmethod
    def from_scene(
        cls,
        scene: Scene,
        scales: Sequence[int] = (1, 2, 4, 8),
        white_background: bool = False,
        sampling: str = "scales",
    ) -> MultiScaleDataset:
        """A dataset of a scene in memory that has only scale 1, or already these scales."""
        dataset = cls.__new__(cls)
        _SceneDataset.__init__(dataset, scene.with_scales(scales), white_background, sampling)
        return dataset


Dataset = PyNeRFDataset | MultiScaleDataset
"""The images that a model is trained or tested on."""
