"""Loading a scene folder of any known format into memory."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.data.description import Description, files_of
from taichi_pynerf.data.drawing.sightings import Sightings
from taichi_pynerf.data.formats.depth_files import decode_depth, fit_depth
from taichi_pynerf.data.image_kinds import has_wrong_suffix
from taichi_pynerf.data.images import ImageHeader, decode_images, read_header
from taichi_pynerf.data.locating import FORMATS, locate_scene
from taichi_pynerf.data.masks import inside_circle, read_mask
from taichi_pynerf.data.pixels import (
    allocate,
    cache_path,
    in_proportion,
    nearest,
    offsets_of,
    read_cached,
    windows,
    write_cached,
)
from taichi_pynerf.data.placement import Placement
from taichi_pynerf.data.scene import (
    Scene,
    cameras_at,
    checked_scales,
    reduce_depth,
    reduce_image,
    reduce_mask,
)
from taichi_pynerf.data.scene_files import LoadOptions, SceneFiles, noted, shown, warn_once
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.cameras import Cameras

KEPT_DESCRIPTIONS = 3
_descriptions: dict[tuple, tuple[Description, set[Path], list]] = {}

CACHE_FROM_PIXELS = 100_000_000
"""Number of pixels above which reduced images are cached, as decoding them takes some seconds."""


def scene_splits(
    data_dir: str | Path, dataset_type: str | None = None, holdout: int | None = None
) -> list[str]:
    """The splits of a scene folder that have images.

    Raises:
        SceneError: the folder is absent or in no known format, or something in it is wrong.
    """
    options = LoadOptions(allow_external_paths=True)
    return read_scene(data_dir, dataset_type, options).held_out(holdout).split_names()


def load_split(
    data_dir: str | Path,
    split: str,
    dataset_type: str | None = None,
    img_downscale: int = 1,
    *,
    scales: Sequence[int] = (1,),
    placement: Placement | None = None,
    allow_external_paths: bool = False,
    exposure: float = 0.0,
    holdout: int | None = None,
    colmap_path: str | None = None,
) -> Scene:
    """Load one split of a scene folder.

    Args:
        data_dir: the scene folder.
        split: "train", "val" or "test", as the scene has them.
        dataset_type: one of `FORMATS`; by default it is detected.
        img_downscale: divisor of the files' size; the quotient counts as full size. Columns and
            rows that do not fill a reduced pixel are cut off at the right and the bottom.
        scales: reductions of the full size to load, each averaged from the file's own pixels. From
            a multi-scale format, those to choose. Images come scale by scale.
        placement: how to place the scene in its coordinates; by default as its format does.
        allow_external_paths: let the scene name images outside of its folder.
        exposure: exposure of OpenEXR and Radiance HDR images, stops (`linear_images`).
        holdout: N holds out every N-th image, 0 none; by default the scene decides.
        colmap_path: COLMAP's sparse model to take, relative to `data_dir`; by default the largest.

    Raises:
        SceneError: the folder, its files or the arguments are wrong; the message says which.
    """
    (img_downscale,) = checked_scales([img_downscale], "img_downscale")
    scales = checked_scales(scales)
    options = LoadOptions(
        img_downscale,
        placement or Placement(),
        allow_external_paths,
        exposure,
        holdout,
        colmap_path,
    )
    files = read_scene_files(data_dir, split, dataset_type, options)
    if not files.has_images:
        raise SceneError(
            f"{data_dir}: the split {split!r} is of poses alone, without images: it can be rendered"
        )
    if files.scales is not None:
        files, scales = _select_scales(Path(data_dir), files, scales), [1]
    return _decode_scene(files, img_downscale // files.reduction, scales, exposure)


def read_scene_files(
    data_dir: str | Path, split: str, dataset_type: str | None, options: LoadOptions
) -> SceneFiles:
    """The description of one split. Images are not decoded, except to learn their size.

    Raises:
        SceneError: as `load_split`.
    """
    return files_of(read_scene(data_dir, dataset_type, options), split, options)


def read_scene(data_dir: str | Path, dataset_type: str | None, options: LoadOptions) -> Description:
    """The description of a scene folder, all splits. No image is decoded.

    A run asks for its splits one by one, so the last descriptions are kept as long as none of their
    files changes.

    Raises:
        SceneError: as `load_split`.
    """
    if options.colmap_path is not None:
        dataset_type = dataset_type or "colmap"
    folder, dataset_type = locate_scene(data_dir, dataset_type)
    key = (
        folder.absolute(),
        dataset_type,
        options.img_downscale,
        options.allow_external_paths,
        options.colmap_path,
    )
    if key in _descriptions:
        scene, seen, stamps = _descriptions.pop(key)
        if _stamps(scene, seen) == stamps:
            _descriptions[key] = scene, seen, stamps
            return scene
    with noted() as seen:
        scene = FORMATS[dataset_type].read(folder, options)
    _descriptions[key] = scene, seen, _stamps(scene, seen)
    while len(_descriptions) > KEPT_DESCRIPTIONS:
        del _descriptions[next(iter(_descriptions))]
    return scene


def _stamps(scene: Description, seen: set[Path]) -> list[tuple[int, int] | None]:
    """Time and size of everything that a description was made from, folders included.

    Args:
        seen: what its reader noted.
    """
    images = {path for path in scene.image_paths if path is not None}
    masks = {path for path in scene.mask_paths or () if path is not None}
    folders = {path.parent for path in (*images, *masks, scene.origin)} | {scene.data_dir}
    beside = {path for folder in (scene.origin, scene.data_dir) if folder.is_dir()
              for path in folder.iterdir()}  # fmt: skip
    stamps: list[tuple[int, int] | None] = []
    for path in sorted({*images, *masks, *folders, *beside, *seen, scene.origin}):
        try:
            stat = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((stat.st_mtime_ns, stat.st_size))
    return stamps


def _select_scales(data_dir: Path, files: SceneFiles, scales: list[int]) -> SceneFiles:
    """The images of some scales, one scale after the other."""
    view_scales = files.scales
    assert view_scales is not None
    present = sorted(set(view_scales.tolist()))
    absent = [scale for scale in scales if scale not in present]
    if absent:
        raise SceneError(
            f"{data_dir}: there are no images at the scales {absent}; those here: {present}"
        )
    return files.select([i for scale in scales for i in _where(view_scales == scale)])


def _where(choice: torch.Tensor) -> list[int]:
    return choice.nonzero().squeeze(1).tolist()


def _decode_scene(
    files: SceneFiles, img_downscale: int, scales: list[int], exposure: float
) -> Scene:
    """Decode every file once, and write it at all scales directly into the scene's buffer."""
    factors = [img_downscale * scale for scale in scales]
    cameras = cameras_at(files.cameras, factors, files.image_paths)
    num_pixels = int(offsets_of(cameras)[-1])
    headers = {path: read_header(path) for path in dict.fromkeys(files.image_paths)}
    channels = 4 if any(header.has_alpha for header in headers.values()) else 3
    _tell_wrong_suffixes(headers)
    exposures = torch.tensor(exposures_of(files))

    cached = None
    source_pixels = int((files.cameras.width * files.cameras.height).sum())
    if min(factors) > 1 and source_pixels > CACHE_FROM_PIXELS:
        sizes = (files.cameras.width.tolist(), files.cameras.height.tolist())
        settings = ("sRGB", factors, channels, sizes, files.upright, exposure)
        cached = cache_path(files.image_paths, settings)
    pixels = read_cached(cached, num_pixels, channels) if cached else None
    if pixels is None:
        pixels = allocate(num_pixels, channels)
        _decode_into(windows(pixels, cameras), files, factors, exposure)
        if cached:
            write_cached(cached, pixels)

    num_views, masks = len(files.image_paths), _masks(files, cameras, factors)
    if files.scales is not None and files.pixel_weights is not None:
        view_scales, pixel_weights = files.scales, files.pixel_weights
    else:
        view_scales = torch.tensor(scales).repeat_interleave(num_views)
        pixel_weights = view_scales.float() ** 2
    return Scene(
        pixels=pixels,
        cameras=cameras,
        names=files.names * len(scales),
        near=files.near,
        far=files.far,
        aabb=files.aabb,
        pixel_weights=pixel_weights,
        scales=view_scales,
        split=files.split,
        unbounded=files.unbounded,
        masks=masks,
        transform=files.transform,
        exposures=exposures.repeat(len(scales)),
        depths=_depths(files, cameras, factors),
        sightings=_sightings(files, cameras, factors, masks),
    )


def exposures_of(files: SceneFiles) -> list[float]:
    """V exposures by EXIF, in stops (`ImageHeader.exposure`); NaN where unknown."""
    found = [math.nan] * len(files.names)
    for i, path in enumerate(files.image_paths):
        with contextlib.suppress(SceneError):  # whoever needs the image itself is told
            exposure = read_header(path).exposure
            found[i] = math.nan if exposure is None else exposure
    return found


def _tell_wrong_suffixes(headers: dict[Path, ImageHeader]) -> None:
    """Warn of files that have the suffix of another kind of image; they are read nevertheless."""
    wrong = [path for path, header in headers.items() if has_wrong_suffix(path, header.kind)]
    if wrong:
        warn_once(
            f"{wrong[0].parent}: {len(wrong)} of {len(headers)} images are of another kind than "
            f"their names say, and read as what they are: {wrong[0].name} is a "
            f"{headers[wrong[0]].kind} image"
        )


def _decode_into(
    parts: list[np.ndarray], files: SceneFiles, factors: list[int], exposure: float
) -> None:
    """Fill the windows `parts` of all views at all factors."""
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
        for window, factor in zip(parts[view::num_views], factors, strict=True):
            window[...] = reduce_image(image, factor)

    decode_images(
        files.image_paths,
        store,
        f"Loading {files.split} images",
        upright=files.upright,
        channels=parts[0].shape[2],
        exposure=exposure,
    )


def _masks(files: SceneFiles, cameras: Cameras, factors: list[int]) -> np.ndarray | None:
    """bool [P]: which pixels count, by mask files and by what the lenses can see."""
    num_views = len(files.image_paths)
    given = files.mask_paths or [None] * num_views
    seen = files.cameras.pixels_with_rays_of(range(num_views))
    blind = [name for name, part in zip(files.names, seen, strict=True) if part is not None]
    if blind:
        warn_once(
            f"{files.image_paths[0].parent}: in {len(blind)} of {num_views} images the distortion "
            f"folds back, and the pixels beyond are left out ({shown(', '.join(blind))})"
        )
    circles = files.circle_radii or [None] * num_views
    if not any(given) and not blind and not any(circles):
        return None
    masks = allocate(int(offsets_of(cameras)[-1]), 1, np.bool_, "masks").reshape(-1)
    masks.fill(True)
    parts = windows(masks, cameras)
    for view, (path, rays) in enumerate(zip(given, seen, strict=True)):
        mask = _view_mask(files, view, path, rays, circles[view])
        if mask is not None:
            for window, factor in zip(parts[view::num_views], factors, strict=True):
                window[...] = reduce_mask(mask, factor)
    if not masks.any():
        raise SceneError(f"{files.image_paths[0].parent}: the masks leave no pixel of any image")
    return masks


def _depths(files: SceneFiles, cameras: Cameras, factors: list[int]) -> np.ndarray | None:
    """Distances float32 [P] along the optical axes; 0 where unknown. None if there are none."""
    if files.depth_paths is None or files.depth_units is None or not any(files.depth_paths):
        return None
    num_views = len(files.image_paths)
    depths = allocate(int(offsets_of(cameras)[-1]), 1, np.float32, "depths").reshape(-1)
    depths.fill(0.0)
    parts = windows(depths, cameras)
    sizes = list(zip(files.cameras.width.tolist(), files.cameras.height.tolist(), strict=True))
    for view, (path, unit) in enumerate(zip(files.depth_paths, files.depth_units, strict=True)):
        if path is not None:
            depth = fit_depth(path, decode_depth(path, unit), *sizes[view])
            for window, factor in zip(parts[view::num_views], factors, strict=True):
                window[...] = reduce_depth(depth, factor)
    return depths


def _view_mask(
    files: SceneFiles,
    view: int,
    path: Path | None,
    rays: torch.Tensor | None,
    radius: float | None,
) -> np.ndarray | None:
    """The mask bool [H, W] of one image at the files' size, or None if all its pixels count."""
    size = (int(files.cameras.height[view]), int(files.cameras.width[view]))
    parts = [] if rays is None else [rays.numpy()]
    if radius is not None:
        parts.append(inside_circle(size, radius))
    if path is not None:
        mask = read_mask(path, upright=files.upright is None or files.upright[view])
        mask = reduce_mask(mask, max(1, mask.shape[0] // size[0]))  # of the image at full size
        if mask.shape != size and in_proportion(mask.shape, size):
            mask = nearest(mask, *size)
        if mask.shape != size:
            raise SceneError(
                f"{path}: a mask of {mask.shape[1]}x{mask.shape[0]} pixels for an image of "
                f"{size[1]}x{size[0]}; bring them to one size"
            )
        parts.append(mask)
    return np.logical_and.reduce(parts) if parts else None


def _sightings(
    files: SceneFiles, cameras: Cameras, factors: list[int], masks: np.ndarray | None
) -> Sightings | None:
    """The sparse points that the images see, at all factors, where pixels count."""
    parts: list[Sightings] = []
    num_views = len(files.image_paths)
    for view, seen in enumerate(files.sightings or []):
        if seen is None or not len(seen):
            continue
        places = torch.from_numpy(seen)
        size = torch.tensor([int(files.cameras.width[view]), int(files.cameras.height[view])])
        depths = places[:, 2].float()
        good = places.isfinite().all(-1) & (depths > 0)
        x, y = (places[good, :2] * size).floor().long().unbind(-1)
        for i, factor in enumerate(factors):
            views = torch.full_like(x, i * num_views + view)
            parts.append(Sightings.at(views, x // factor, y // factor, depths[good], cameras))
    found = Sightings.cat(parts) if parts else None
    if found is None or masks is None:
        return found
    counted = torch.from_numpy(masks)[offsets_of(cameras)[found.views] + found.pixels]
    return Sightings.cat([Sightings(*(value[counted] for value in vars(found).values()))])
