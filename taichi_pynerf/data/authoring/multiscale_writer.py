"""Multi-scale folders from NeRF-synthetic scenes, as in Mip-NeRF's data set.

Format: Barron et al., Mip-NeRF (ICCV 2021). One `metadata.json` with an object of parallel lists
per split, and the images `images_<split>/<view>_d<j>.png`, view by view and, within a view, from
the full size (j = 0) to the coarsest, each half as wide as the one before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from taichi_pynerf.data.authoring.scene_folder import new_scene_folder
from taichi_pynerf.data.formats import blender
from taichi_pynerf.data.formats.lenses import Lens
from taichi_pynerf.data.images import check_divisible, decode_straight
from taichi_pynerf.data.scene_files import LoadOptions
from taichi_pynerf.errors import SceneError

NEAR, FAR = 2.0, 6.0
"""The bounds that the format gives to all NeRF-synthetic scenes, in world units."""

CONTENTS = ("metadata.json", "images_*")


def write_multiscale(
    data_dir: str | Path,
    out_dir: str | Path,
    *,
    num_scales: int = 4,
    as_published: bool = False,
    overwrite: bool = False,
    allow_external_paths: bool = False,
    progress: bool = True,
) -> Path:
    """Convert all splits of the NeRF-synthetic scene `data_dir` into the multi-scale `out_dir`.

    Pixels are straight RGBA, as loaders of the format expect. By default a coarse pixel is the mean
    of premultiplied pixels: its colour is the mean weighted by alpha, `sum(rgb * a) / sum(a)`. All
    values are rounded to the nearest.

    The published converter (`convert_blender_data.py` of google/mipnerf) takes the mean of straight
    colours. Transparent pixels, which are usually black, then darken the object's outline. It also
    cuts off fractions. `as_published` does the same, to the bit. Where a coarse pixel is entirely
    opaque or entirely empty, the two ways differ only by rounding.

    Args:
        num_scales: number of sizes of each view; the coarsest is reduced `2**(num_scales - 1)`
            times.
        as_published: write exactly the pixels of the published data set.
        overwrite: replace an older multi-scale folder at `out_dir`.
        allow_external_paths: let the scene name images outside of its folder.
        progress: show a progress bar.

    Raises:
        SceneError: the scene cannot be read or halved so often, or `out_dir` cannot be written.
        ValueError: `num_scales` is less than 1.
    """
    data_dir, out_dir = Path(data_dir), Path(out_dir)
    if num_scales < 1:
        raise ValueError(f"num_scales must be 1 or more, got {num_scales}")
    if not blender.probe(data_dir).found.count("transforms_"):
        raise SceneError(
            f"{data_dir}: no transforms_train.json, _val or _test here; give the folder of a "
            "NeRF-synthetic scene"
        )
    halve = published_halvings if as_published else alpha_weighted_halvings
    options = LoadOptions(allow_external_paths=allow_external_paths)
    image_paths, metadata = {}, {}
    scene = blender.read(data_dir, options)
    for split in scene.split_names():
        paths, lenses, poses = [], [], []
        for view in scene.splits[split]:
            path, lens = scene.image_paths[view], scene.lenses[view]
            assert path is not None  # only splits with images are converted
            if any(lens.distortion) or lens.fisheye:
                raise SceneError(
                    f"{path}: its lens has distortion, which the format cannot describe"
                )
            check_divisible(path, lens.width, lens.height, 2 ** (num_scales - 1))
            paths.append(path)
            lenses.append(lens)
            poses.append(scene.poses[view])
        image_paths[split] = paths
        metadata[split] = _metadata(poses, lenses, split, num_scales)

    with new_scene_folder(out_dir, overwrite=overwrite, contents=CONTENTS) as folder:
        jobs = []
        for split, paths in image_paths.items():
            (folder / f"images_{split}").mkdir()
            columns = metadata[split]
            for i, path in enumerate(paths):
                first = i * num_scales
                size = columns["width"][first], columns["height"][first]
                jobs.append((path, size, columns["file_path"][first : first + num_scales]))

        def convert(job: tuple[Path, tuple[int, int], list[str]]) -> None:
            path, size, names = job
            image = decode_straight(path)
            if image.shape[1::-1] != size:
                raise SceneError(
                    f"{path}: {image.shape[1]}x{image.shape[0]} pixels, where {size[0]}x{size[1]} "
                    "are expected as the description has it, or as in the first image"
                )
            for name, scaled in zip(names, halve(image, num_scales), strict=True):
                Image.fromarray(scaled).save(folder / name)

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            done = pool.map(convert, jobs)
            for _ in tqdm(done, "multi-scale", len(jobs), unit="view", disable=not progress):
                pass
        (folder / "metadata.json").write_text(json.dumps(metadata, indent=4) + "\n")
    return out_dir


def alpha_weighted_halvings(image: np.ndarray, num_scales: int) -> Iterator[np.ndarray]:
    """Box averages of premultiplied colours, returned as straight colours, rounded to the nearest.

    Each is averaged from the full-size pixels in integers, so that rounding errors do not add up.

    Args:
        image: [H, W, 4] uint8, straight; its sides are multiples of `2**(num_scales - 1)`.

    Yields:
        `num_scales` arrays [H / 2**j, W / 2**j, 4] uint8. Colours without coverage are black.
    """
    alpha = image[..., 3:].astype(np.uint64)
    colour = image[..., :3] * alpha
    for j in range(num_scales):
        if j > 0:
            alpha, colour = _sum_2x2(alpha), _sum_2x2(colour)
        num_pixels = 4**j
        total = np.maximum(alpha, 1)
        rgb = (2 * colour + total) // (2 * total)
        mean_alpha = (2 * alpha + num_pixels) // (2 * num_pixels)
        yield np.concatenate([rgb, mean_alpha], axis=-1).astype(np.uint8)


def published_halvings(image: np.ndarray, num_scales: int) -> Iterator[np.ndarray]:
    """Means of straight colours and alpha by halving in float32, with fractions cut off.

    Takes and yields the same as `alpha_weighted_halvings`.
    """
    scaled = image.astype(np.float32) / 255.0
    for j in range(num_scales):
        if j > 0:
            height, width, channels = scaled.shape
            pairs = scaled.reshape(height // 2, 2, width // 2, 2, channels)
            scaled = pairs.mean(axis=(1, 3))
        yield (scaled * 255).astype(np.uint8)


def _sum_2x2(values: np.ndarray) -> np.ndarray:
    rows = values[::2] + values[1::2]
    return rows[:, ::2] + rows[:, 1::2]


def _metadata(
    poses: list[np.ndarray], lenses: list[Lens], split: str, num_scales: int
) -> dict[str, list]:
    """A split's parallel lists, one entry per image, of [3, 4] poses and their lenses."""
    rows = []
    for i, (pose, lens) in enumerate(zip(poses, lenses, strict=True)):
        for j in range(num_scales):
            fx, fy, cx, cy = (value / 2**j for value in (lens.fx, lens.fy, lens.cx, lens.cy))
            rows.append(
                {
                    "file_path": f"images_{split}/{i:03d}_d{j}.png",
                    "cam2world": [*pose.tolist(), [0.0, 0.0, 0.0, 1.0]],
                    "width": lens.width // 2**j,
                    "height": lens.height // 2**j,
                    "focal": fx,
                    "label": j,
                    "near": NEAR,
                    "far": FAR,
                    "lossmult": 4.0**j,
                    # Image coordinates (right, down, 1) to a direction in OpenGL's camera axes.
                    "pix2cam": [
                        [1.0 / fx, 0.0, -cx / fx],
                        [0.0, -1.0 / fy, cy / fy],
                        [0.0, 0.0, -1.0],
                    ],
                }
            )
    return {key: [row[key] for row in rows] for key in rows[0]}
