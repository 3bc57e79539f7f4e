"""One split of a scene in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from taichi_pynerf.data.drawing.sightings import Sightings
from taichi_pynerf.data.images import box_downscale
from taichi_pynerf.data.pixels import allocate, offsets_of, windows
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.cameras import Cameras


@dataclass(frozen=True, eq=False)
class Scene:
    """One split of a scene: V images with their cameras.

    A view may have several scales, each an image with its own camera. All pixels are in one buffer
    of 8 bits per channel, and `images` are windows on it. A large buffer is a memory-mapped file.

    Attributes:
        pixels: [P, C] uint8, of image 0, 1, … in row-major order: premultiplied RGBA, or RGB if
            the whole scene is opaque.
        cameras: V cameras, for the images as they are in `pixels`.
        names: V names; name and scale together identify an image.
        near, far: least and greatest distance along a ray that can hold anything, world units.
        aabb: the scene box (x0, y0, z0, x1, y1, z1) in world units.
        pixel_weights: [V] float32, the area of an image's pixels in full-size pixels (multi-scale
            Blender's `lossmult`).
        scales: [V] int64, the width of an image's pixels in full-size pixels: 1, 2, 4, …
        split: "train", "val", "test" or the scene's own name.
        unbounded: whether there is something outside of the scene box too, as in most photographs;
            the box then holds what matters most.
        masks: [P] bool, which pixels count; the others are neither trained on nor scored. None if
            all count.
        transform: the transform from the coordinates of the scene's files to those used here.
        depths: [P] float32, distances along the optical axes to what the pixels show, in world
            units; 0 where unknown. None if all are unknown.
        sightings: pixels that show sparse points of known distance; None if there are none.
        exposures: [V] float32, exposures of the images by EXIF, in stops (`ImageHeader.exposure`);
            NaN where unknown. None if all are unknown.

    Raises:
        ValueError: the fields do not fit each other.
    """

    pixels: np.ndarray
    cameras: Cameras
    names: list[str]
    near: float
    far: float
    aabb: tuple[float, ...]
    pixel_weights: torch.Tensor
    scales: torch.Tensor
    split: str
    unbounded: bool = False
    masks: np.ndarray | None = None
    transform: SceneTransform = field(default_factory=SceneTransform)
    depths: np.ndarray | None = None
    sightings: Sightings | None = None
    exposures: torch.Tensor | None = None

    def __post_init__(self) -> None:
        num_views, num_pixels = len(self.cameras), int(self.offsets[-1])
        if not len(self.names) == len(self.pixel_weights) == len(self.scales) == num_views:
            raise ValueError(f"names, pixel_weights and scales must have {num_views} entries each")
        wanted = ((num_pixels, 3), (num_pixels, 4))
        if self.pixels.dtype != np.uint8 or self.pixels.shape not in wanted:
            raise ValueError(
                f"pixels must be uint8 of shape [{num_pixels}, 3 or 4] as the cameras say, "
                f"got {self.pixels.dtype} of shape {list(self.pixels.shape)}"
            )
        masks = self.masks
        if masks is not None and (masks.dtype != bool or masks.shape != (num_pixels,)):
            raise ValueError(
                f"masks must be bool of shape [{num_pixels}], "
                f"got {masks.dtype} of shape {list(masks.shape)}"
            )

        depths = self.depths
        if depths is not None and (depths.dtype != np.float32 or depths.shape != (num_pixels,)):
            raise ValueError(
                f"depths must be float32 of shape [{num_pixels}], "
                f"got {depths.dtype} of shape {list(depths.shape)}"
            )

    @property
    def offsets(self) -> torch.Tensor:
        """[V + 1] int64: image i is `pixels[offsets[i] : offsets[i + 1]]`."""
        return offsets_of(self.cameras)

    @property
    def images(self) -> list[np.ndarray]:
        """The V images [H, W, C], as views of `pixels`."""
        return windows(self.pixels, self.cameras)

    @staticmethod
    def from_images(
        images: Sequence[np.ndarray],
        cameras: Cameras,
        *,
        near: float,
        far: float,
        aabb: Sequence[float],
        names: Sequence[str] | None = None,
        split: str = "train",
        unbounded: bool = False,
        masks: Sequence[np.ndarray] | None = None,
        depths: Sequence[np.ndarray] | None = None,
    ) -> Scene:
        """A scene at scale 1 from images in memory.

        Args:
            images: V arrays of uint8, [H, W, 3] or [H, W, 4] with premultiplied alpha. If one has
                alpha, all get it.
            cameras: V cameras.
            near, far, aabb, split, unbounded: see the class.
            names: V names; by default numbers.
            masks: V arrays of bool, [H, W]: which pixels count; by default all.
            depths: V arrays of float32, [H, W]: distances along the optical axes, world units; 0 if
                unknown.

        Raises:
            ValueError: the type or size of an image does not fit its camera.
        """
        num_views = len(cameras)
        if len(images) != num_views:
            raise ValueError(f"{len(images)} images were given with {num_views} cameras")
        channels = 4 if any(image.shape[2:] == (4,) for image in images) else 3
        pixels = allocate(int(offsets_of(cameras)[-1]), channels)
        for i, (image, window) in enumerate(zip(images, windows(pixels, cameras), strict=True)):
            if image.dtype != np.uint8 or image.shape not in (window.shape, (*window.shape[:2], 3)):
                raise ValueError(
                    f"image {i} must be uint8 of shape {list(window.shape)} as its camera says, "
                    f"got {image.dtype} of shape {list(image.shape)}"
                )
            window[..., 3:] = 255
            window[..., : image.shape[2]] = image
        return Scene(
            pixels=pixels,
            cameras=cameras,
            names=list(names) if names is not None else [str(i) for i in range(num_views)],
            near=near,
            far=far,
            aabb=tuple(aabb),
            pixel_weights=torch.ones(num_views),
            scales=torch.ones(num_views, dtype=torch.int64),
            split=split,
            unbounded=unbounded,
            masks=None if masks is None else np.concatenate([mask.reshape(-1) for mask in masks]),
            depths=None if depths is None else np.concatenate([d.reshape(-1) for d in depths]),
        )

    def with_scales(self, scales: Sequence[int]) -> Scene:
        """A scene with every image at each of `scales`, by box averages of this scene's images.

        All images of the first scale come first, then those of the second, and so on. Columns and
        rows that do not fill a pixel of a scale are cut off; see `Cameras.downscaled`.

        Raises:
            SceneError: a scale is not a positive integer, is given twice, or exceeds an image.
            ValueError: the scene already holds several scales, and not these.
        """
        scales = checked_scales(scales)
        if sorted(set(self.scales.tolist())) == sorted(scales):
            return self
        if (self.scales != 1).any():
            raise ValueError(
                f"the scene holds scales {sorted(set(self.scales.tolist()))} already, "
                f"and {scales} were asked for"
            )
        cameras = cameras_at(self.cameras, scales, self.names)
        pixels = allocate(int(offsets_of(cameras)[-1]), self.pixels.shape[1])
        parts, num_views = windows(pixels, cameras), len(self)
        for i, image in enumerate(self.images):
            for window, scale in zip(parts[i::num_views], scales, strict=True):
                window[...] = reduce_image(image, scale)
        masks = None
        if self.masks is not None:
            masks = np.empty(len(pixels), dtype=bool)
            parts = windows(masks, cameras)
            for i, mask in enumerate(windows(self.masks, self.cameras)):
                for window, scale in zip(parts[i::num_views], scales, strict=True):
                    window[...] = reduce_mask(mask, scale)
        depths = None
        if self.depths is not None:
            depths = np.empty(len(pixels), dtype=np.float32)
            parts = windows(depths, cameras)
            for i, depth in enumerate(windows(self.depths, self.cameras)):
                for window, scale in zip(parts[i::num_views], scales, strict=True):
                    window[...] = reduce_depth(depth, scale)
        view_scales = torch.tensor(scales).repeat_interleave(num_views)
        return replace(
            self,
            pixels=pixels,
            cameras=cameras,
            names=self.names * len(scales),
            pixel_weights=self.pixel_weights.repeat(len(scales)) * view_scales.float() ** 2,
            scales=view_scales,
            masks=masks,
            depths=depths,
            sightings=None if self.sightings is None else self._sightings_at(cameras, scales),
            exposures=None if self.exposures is None else self.exposures.repeat(len(scales)),
        )

    def _sightings_at(self, cameras: Cameras, scales: Sequence[int]) -> Sightings | None:
        """The sightings in the images of all scales, which have these cameras."""
        assert self.sightings is not None
        views, pixels, depths = vars(self.sightings).values()
        width = self.cameras.width[views]
        x, y = pixels % width, pixels.div(width, rounding_mode="floor")
        parts = [
            Sightings.at(views + i * len(self), x // k, y // k, depths, cameras)
            for i, k in enumerate(scales)
        ]
        return Sightings.cat(parts)

    def __len__(self) -> int:
        """The number of images; every scale of a view counts."""
        return len(self.cameras)


def reduce_image(image: np.ndarray, k: int) -> np.ndarray:
    """The box average [H // k, W // k, C] of an image uint8 [H, W, C]."""
    return box_downscale(_cropped(image, k), k)


def reduce_depth(depth: np.ndarray, k: int) -> np.ndarray:
    """Mean depths [H // k, W // k] of k x k pixels; 0 where one of them is unknown."""
    if k == 1:
        return depth
    depth = _cropped(depth, k)
    boxes = depth.reshape(depth.shape[0] // k, k, depth.shape[1] // k, k)
    known = (boxes > 0).all(axis=(1, 3))
    return np.where(known, boxes.mean(axis=(1, 3)), 0).astype(np.float32)


def reduce_mask(mask: np.ndarray, k: int) -> np.ndarray:
    """bool [H // k, W // k]: whether all of the k x k pixels of a mask bool [H, W] count."""
    mask = _cropped(mask, k)
    height, width = mask.shape[0] // k, mask.shape[1] // k
    return np.all(mask.reshape(height, k, width, k), axis=(1, 3))


def _cropped(image: np.ndarray, k: int) -> np.ndarray:
    """`image` without the last columns and rows that do not fill a pixel k times as wide."""
    height, width = (side // k * k for side in image.shape[:2])
    return image[:height, :width]


def cameras_at(cameras: Cameras, factors: Sequence[int], images: Sequence[object]) -> Cameras:
    """`cameras` reduced by each of `factors`, one factor after the other.

    Args:
        cameras: V cameras.
        factors: positive integers.
        images: names of the V images, for messages.

    Raises:
        SceneError: a factor is larger than an image.
    """
    sizes = zip(images, cameras.width.tolist(), cameras.height.tolist(), strict=True)
    for image, width, height in sizes:
        if max(factors) > min(width, height):
            raise SceneError(
                f"{image}: {width}x{height} pixels cannot be reduced by {max(factors)}; choose a "
                "smaller img_downscale or smaller scales"
            )
    return Cameras.cat([cameras.downscaled(factor) for factor in factors])


def checked_scales(scales: Sequence[int], name: str = "scales") -> list[int]:
    """`scales` as a list of different positive integers.

    Raises:
        SceneError: they are not; the message calls them `name`.
    """
    scales = list(scales)
    if not scales or not all(type(scale) is int and scale >= 1 for scale in scales):
        raise SceneError(f"{name} must be positive integers, not {scales}")
    if len(set(scales)) != len(scales):
        raise SceneError(f"{name} must differ from each other, not {scales}")
    return scales
