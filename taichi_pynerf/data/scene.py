"""One split of a scene in memory, and how it gets there from a folder of any known format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.cameras import Cameras
from taichi_pynerf.data import blender
from taichi_pynerf.data.images import box_downscale, check_divisible, decode_images
from taichi_pynerf.data.scene_files import SceneFiles, shown
from taichi_pynerf.errors import SceneError

FORMATS = {"blender": blender}
"""Known formats by name. Each is a module with

- `detect(data_dir) -> bool`: whether a folder looks like this format,
- `splits(data_dir) -> list[str]`: the splits that a scene folder has, and
- `parse(data_dir, split, *, allow_external_paths) -> SceneFiles`: one split, read and checked.
"""


@dataclass(frozen=True, eq=False)
class Scene:
    """One split of a scene: V images with their cameras.

    Every view may be there at several scales, each an image with a camera of its own. All pixels
    stand in one buffer of 8 bits per channel, which `images` are windows on.

    Attributes:
        pixels: [P, 4] uint8, premultiplied RGBA of image 0, 1, … in row-major order.
        cameras: V cameras, for the images as they are in `pixels`.
        names: V names; an image is told by its name and its scale.
        near, far: the least and the greatest distance along a ray that can hold anything.
        aabb: the scene box (x0, y0, z0, x1, y1, z1) in world units.
        pixel_weights: [V] float32, the area of an image's pixels in full-size pixels (multi-scale
            Blender's `lossmult`).
        scales: [V] int64, the width of an image's pixels in full-size pixels: 1, 2, 4, …
        split: "train", "val", "test" or as the scene calls it.
        unbounded: whether things stand outside of the scene box too, as in most photographs; the
            box then holds what matters most.

    Raises:
        ValueError: the fields do not fit each other.
    """

    pixels: np.ndarray
    cameras: Cameras
    names: list[str]
    near: float
    far: float
    aabb: tuple[float, float, float, float, float, float]
    pixel_weights: torch.Tensor
    scales: torch.Tensor
    split: str
    unbounded: bool = False

    def __post_init__(self) -> None:
        num_views = len(self.cameras)
        if not len(self.names) == len(self.pixel_weights) == len(self.scales) == num_views:
            raise ValueError(f"names, pixel_weights and scales must have {num_views} entries each")
        if self.pixels.dtype != np.uint8 or self.pixels.shape != (int(self.offsets[-1]), 4):
            raise ValueError(
                f"pixels must be uint8 of shape [{int(self.offsets[-1])}, 4] as the cameras say, "
                f"got {self.pixels.dtype} of shape {list(self.pixels.shape)}"
            )

    @property
    def offsets(self) -> torch.Tensor:
        """[V + 1] int64: image i is `pixels[offsets[i] : offsets[i + 1]]`."""
        return _offsets(self.cameras)

    @property
    def images(self) -> list[np.ndarray]:
        """V windows of shape [H, W, 4] on `pixels`."""
        return _windows(self.pixels, self.cameras)

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
    ) -> Scene:
        """A scene at scale 1 from images in memory.

        Args:
            images: V arrays of uint8, [H, W, 3] or [H, W, 4] with premultiplied alpha.
            cameras: V cameras.
            near, far, aabb, split, unbounded: see the class.
            names: V names; numbers by default.

        Raises:
            ValueError: an image has another type or size than its camera says.
        """
        num_views = len(cameras)
        if len(images) != num_views:
            raise ValueError(f"{len(images)} images were given with {num_views} cameras")
        pixels = _allocate(cameras)
        for i, (image, window) in enumerate(zip(images, _windows(pixels, cameras), strict=True)):
            if image.dtype != np.uint8 or image.shape not in (window.shape, (*window.shape[:2], 3)):
                raise ValueError(
                    f"image {i} must be uint8 of shape {list(window.shape)} as its camera says, "
                    f"got {image.dtype} of shape {list(image.shape)}"
                )
            window[..., 3] = 255
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
        )

    def with_scales(self, scales: Sequence[int]) -> Scene:
        """Every image of this scene at each of `scales`, by box averages of the images given here.

        All images of the first scale come first, then those of the second, and so on.

        Raises:
            SceneError: a scale is no positive integer, is there twice, or does not divide an image.
            ValueError: the scene holds several scales already, and other ones.
        """
        scales = _checked_scales(scales)
        if sorted(set(self.scales.tolist())) == sorted(scales):
            return self
        if (self.scales != 1).any():
            raise ValueError(
                f"the scene holds scales {sorted(set(self.scales.tolist()))} already, "
                f"and {scales} were asked for"
            )
        cameras = _cameras_at(self.cameras, scales, self.names)
        pixels = _allocate(cameras)
        windows = _windows(pixels, cameras)
        for i, image in enumerate(self.images):
            for window, scale in zip(windows[i :: len(self.images)], scales, strict=True):
                window[...] = box_downscale(image, scale)
        view_scales = torch.tensor(scales).repeat_interleave(len(self.images))
        return replace(
            self,
            pixels=pixels,
            cameras=cameras,
            names=self.names * len(scales),
            pixel_weights=self.pixel_weights.repeat(len(scales)) * view_scales.float() ** 2,
            scales=view_scales,
        )


def detect_dataset_type(data_dir: str | Path) -> str:
    """The name of the format that a scene folder is in.

    Raises:
        SceneError: the folder is absent or in no known format.
    """
    data_dir = _checked_folder(data_dir)
    for name, scene_format in FORMATS.items():
        if scene_format.detect(data_dir):
            return name
    raise SceneError(
        f"{data_dir}: no scene of a known format found here (known: {', '.join(FORMATS)}); "
        "give the folder that holds transforms_train.json"
    )


def scene_splits(data_dir: str | Path, dataset_type: str | None = None) -> list[str]:
    """The splits that a scene folder has.

    Raises:
        SceneError: the folder is absent or in no known format.
    """
    data_dir = _checked_folder(data_dir)
    return _format(data_dir, dataset_type).splits(data_dir)


def load_scene(
    data_dir: str | Path,
    split: str,
    dataset_type: str | None = None,
    img_downscale: int = 1,
    *,
    scales: Sequence[int] = (1,),
    allow_external_paths: bool = False,
) -> Scene:
    """Load one split of a scene folder.

    Args:
        data_dir: the scene folder.
        split: "train", "val" or "test", as the scene has them.
        dataset_type: one of `FORMATS`; found out from the folder by default.
        img_downscale: the factor between the files and what is called full size from here on.
        scales: reductions of the full size to load, each averaged from the file's own pixels.
            Images come scale by scale.
        allow_external_paths: let the scene name images outside of its folder.

    Raises:
        SceneError: the folder, its files or the arguments are wrong; the message says which.
    """
    data_dir = _checked_folder(data_dir)
    scene_format = _format(data_dir, dataset_type)
    (img_downscale,) = _checked_scales([img_downscale], "img_downscale")
    scales = _checked_scales(scales)
    files = scene_format.parse(data_dir, split, allow_external_paths=allow_external_paths)
    return _decode_scene(files, img_downscale, scales)


def _format(data_dir: Path, dataset_type: str | None):
    """The module that reads a folder's format."""
    if dataset_type is None:
        dataset_type = detect_dataset_type(data_dir)
    if dataset_type not in FORMATS:
        raise SceneError(f"dataset_type {dataset_type!r} is not known; known: {', '.join(FORMATS)}")
    return FORMATS[dataset_type]


def _decode_scene(files: SceneFiles, img_downscale: int, scales: list[int]) -> Scene:
    """Decode every file once, and write it at all scales straight into the scene's buffer."""
    factors = [img_downscale * scale for scale in scales]
    cameras = _cameras_at(files.cameras, factors, files.image_paths)
    pixels = _allocate(cameras)
    windows = _windows(pixels, cameras)
    num_views = len(files.image_paths)
    sizes = list(zip(files.cameras.width.tolist(), files.cameras.height.tolist(), strict=True))

    def store(view: int, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        if (width, height) != sizes[view]:
            expected = "{}x{}".format(*sizes[view])
            raise SceneError(
                f"{files.image_paths[view]}: {width}x{height} pixels, where {expected} are "
                f"expected as in {files.image_paths[0].name}; bring all images of the split to one "
                "size"
            )
        for window, factor in zip(windows[view::num_views], factors, strict=True):
            window[...] = box_downscale(image, factor)

    decode_images(files.image_paths, store, f"Loading {files.split} images")
    view_scales = torch.tensor(scales).repeat_interleave(num_views)
    return Scene(
        pixels=pixels,
        cameras=cameras,
        names=files.names * len(scales),
        near=files.near,
        far=files.far,
        aabb=files.aabb,
        pixel_weights=view_scales.float() ** 2,
        scales=view_scales,
        split=files.split,
        unbounded=files.unbounded,
    )


def _cameras_at(cameras: Cameras, factors: Sequence[int], images: Sequence[object]) -> Cameras:
    """`cameras` reduced by each of `factors`, one factor after the other."""
    sizes = zip(cameras.width.tolist(), cameras.height.tolist(), strict=True)
    for image, (width, height) in zip(images, sizes, strict=True):
        for factor in factors:
            check_divisible(image, width, height, factor)
    return Cameras.cat([cameras.downscaled(factor) for factor in factors])


def _offsets(cameras: Cameras) -> torch.Tensor:
    """[V + 1] int64 bounds of the images in one buffer."""
    num_pixels = cameras.width * cameras.height
    return torch.cat([num_pixels.new_zeros(1), num_pixels.cumsum(0)])


def _allocate(cameras: Cameras) -> np.ndarray:
    num_pixels = int(_offsets(cameras)[-1])
    try:
        return np.empty((num_pixels, 4), dtype=np.uint8)
    except MemoryError:
        raise SceneError(
            f"the {len(cameras)} images need {4 * num_pixels / 2**30:.1f} GiB of memory; load them "
            "smaller with img_downscale"
        ) from None


def _windows(pixels: np.ndarray, cameras: Cameras) -> list[np.ndarray]:
    """The [H, W, 4] parts of a pixel buffer that are its images."""
    offsets = _offsets(cameras).tolist()
    heights = cameras.height.tolist()
    widths = cameras.width.tolist()
    return [
        pixels[offsets[i] : offsets[i + 1]].reshape(heights[i], widths[i], 4)
        for i in range(len(cameras))
    ]


def _checked_folder(data_dir: str | Path) -> Path:
    data_dir = Path(data_dir)
    try:
        if not data_dir.exists():
            raise SceneError(f"{data_dir}: no such folder")
        if not data_dir.is_dir():
            raise SceneError(f"{data_dir}: not a folder; give the folder that holds the scene")
    except OSError as error:
        raise SceneError(f"{shown(str(data_dir))}: cannot be read ({error.strerror})") from None
    return data_dir


def _checked_scales(scales: Sequence[int], name: str = "scales") -> list[int]:
    scales = list(scales)
    if not scales or not all(type(scale) is int and scale >= 1 for scale in scales):
        raise SceneError(f"{name} must be positive integers, not {scales}")
    if len(set(scales)) != len(scales):
        raise SceneError(f"{name} must differ from each other, not {scales}")
    return scales
